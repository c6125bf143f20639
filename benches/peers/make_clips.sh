#!/usr/bin/env bash
# Renders the clips of the comparison: ./make_clips.sh FOLDER [COUNT, default 10 of each size]
#
# 10 s each, H.264 with B-frames (x264 medium, crf 23, a key frame every 250), AAC; 720p-N.mp4 1280x720 at 30000/1001, 1080p-N.mp4 1920x1080
# at 25; and the sound of each as a 48 kHz, 24-bit stereo WAV beside it, as in TAU 2021. Five kinds of pictures, from smooth to busy, all with
# noise, so that there is something to decode. Clips that are there are kept.
set -euo pipefail
folder=${1:?usage: make_clips.sh FOLDER [COUNT]}
count=${2:-10}
mkdir -p "$folder"

picture() { # number, size, rate
    local n=$1 s=$2 r=$3
    case $((n % 5)) in
    0) echo "mandelbrot=s=$s:r=$r:start_scale=$((n + 2)).0/4:maxiter=150,noise=alls=5:allf=t" ;;
    1) echo "testsrc2=s=$s:r=$r,rotate=a=0.12*sin(t*1.3+$n):c=gray,noise=alls=6:allf=t" ;;
    2) echo "smptehdbars=s=$s:r=$r,zoompan=z='1.2+0.2*sin(in/40+$n)':x='iw/8*(1+sin(in/30))':y='ih/8*(1+cos(in/25))':d=1:s=$s:fps=$r,boxblur=2,noise=alls=4:allf=t" ;;
    3) echo "mandelbrot=s=$s:r=$r:start_x=-0.7436:start_y=0.1318:start_scale=1.$n:end_scale=0.05:maxiter=120,hue=H=0.4*t,gblur=sigma=1.2,noise=alls=4:allf=t" ;;
    4) echo "life=s=320x180:mold=10:r=$r:ratio=0.1:seed=$n:death_color=#C83232:life_color=#00ff00,scale=$s:flags=bicubic,boxblur=3,noise=alls=5:allf=t" ;;
    esac
}

render() { # number, size, rate, name
    local out=$folder/$4
    if [[ ! -s $out.mp4 ]]; then
        ffmpeg -nostdin -v error -y -f lavfi -t 10 -i "$(picture "$1" "$2" "$3"),format=yuv420p" \
            -f lavfi -i "sine=f=$((220 + $1 * 37)):r=44100,aecho=0.8:0.9:60:0.4" -f lavfi -i "anoisesrc=r=44100:a=0.05:c=pink:seed=$1" \
            -filter_complex '[1:a][2:a]amix=2[a]' -map 0:v -map '[a]' -t 10 -c:v libx264 -preset medium -crf 23 -g 250 -threads 1 \
            -c:a aac -b:a 128k -ac 2 -movflags +faststart -f mp4 "$out.part"
        mv "$out.part" "$out.mp4"
    fi
    if [[ ! -s $out.wav ]]; then
        ffmpeg -nostdin -v error -y -i "$out.mp4" -vn -ac 2 -ar 48000 -c:a pcm_s24le -f wav "$out.part"
        mv "$out.part" "$out.wav"
    fi
}
export -f picture render
export folder

for ((n = 0; n < count; n++)); do
    echo "$n 1280x720 30000/1001 720p-$n"
    echo "$n 1920x1080 25 1080p-$n"
done | xargs -P "$(nproc)" -L 1 bash -euo pipefail -c 'render "$0" "$1" "$2" "$3"'
