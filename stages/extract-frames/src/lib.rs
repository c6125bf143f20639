//! Which pictures ffmpeg -vf fps=1 would keep, and how they are named and written.
