//! Small pictures of some clips, for the report: what the systems saw beside what they said.

use std::ops::ControlFlow;
use std::path::Path;

use crate::held::MediaFile;
use contract::Picture;
use extract_frames::{FileSpec, Format, FrameSpec};

/// The picture that stands for a clip in the reference example, as a JPEG of at most `width` pixels a row; `None` where the clip gives none.
pub(crate) fn small_picture(path: &Path, frames: FrameSpec, width: u32) -> Option<Vec<u8>> {
    let mut video = crate::held::open_file(&MediaFile::read(path).ok()?).ok()?;
    let picks = extract_frames::select(video.timeline(), &frames).ok()?;
    let pick = picks.get(picks.len().min(5).checked_sub(1)?)?;
    let mut taken = None;
    let decoded = video.decode(&[pick.frame], &mut |_, picture| {
        taken = Some(picture);
        ControlFlow::Break(())
    });
    let _ = decoded.ok()?;
    let files = FileSpec { format: Format::Jpeg, jpeg_quality: Some(80) };
    extract_frames::encode_picture(&shrink(taken?, width)?, &files).ok()
}

fn shrink(picture: Picture, most: u32) -> Option<Picture> {
    let (width, height) = (picture.width as u32, picture.height as u32);
    let whole = image::RgbImage::from_raw(width, height, picture.rgb)?;
    if width <= most {
        return Some(Picture { width: width as usize, height: height as usize, rgb: whole.into_raw() });
    }
    let rows = (u64::from(height) * u64::from(most) / u64::from(width)).max(1) as u32;
    let small = image::imageops::thumbnail(&whole, most, rows);
    Some(Picture { width: most as usize, height: rows as usize, rgb: small.into_raw() })
}
