//! Small pictures of some clips, for the report: what the systems saw beside what they said.

use std::ops::ControlFlow;

use contract::Picture;
use extract_frames::{FileSpec, Format};

use crate::session::Session;

/// Pixels per row of a small picture: five of them stand beside each other on a page.
const WIDTH: u32 = 240;

/// The picture that stands for a clip in the reference example, as a small JPEG; `None` where the clip gives none.
pub fn small_picture(session: &Session, item: usize) -> Option<Vec<u8>> {
    let path = session.dataset.items[item].video.as_deref()?;
    let mut video = media::Video::open(path).ok()?;
    let picks = extract_frames::select(video.timeline(), &session.science.frames).ok()?;
    let pick = picks.get(picks.len().min(5).checked_sub(1)?)?;
    let mut taken = None;
    let decoded = video.decode(&[pick.frame], &mut |_, picture| {
        taken = Some(picture.clone());
        ControlFlow::Break(())
    });
    let _ = decoded.ok()?;
    let files = FileSpec { format: Format::Jpeg, jpeg_quality: Some(80) };
    extract_frames::encode_picture(&shrink(taken?)?, &files).ok()
}

fn shrink(picture: Picture) -> Option<Picture> {
    let (width, height) = (picture.width as u32, picture.height as u32);
    let whole = image::RgbImage::from_raw(width, height, picture.rgb)?;
    if width <= WIDTH {
        return Some(Picture { width: width as usize, height: height as usize, rgb: whole.into_raw() });
    }
    let rows = (u64::from(height) * u64::from(WIDTH) / u64::from(width)).max(1) as u32;
    let small = image::imageops::thumbnail(&whole, WIDTH, rows);
    Some(Picture { width: WIDTH as usize, height: rows as usize, rgb: small.into_raw() })
}
