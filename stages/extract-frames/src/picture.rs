//! Picture files.

use contract::Picture;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};

use crate::{Error, FileSpec, Format};

/// The name of picture file `number` (from 1): `airport-lisbon-1000-40000-01.png`, as `NAME-%02d.png` gives; it grows beyond 99.
pub fn picture_name(id: &str, number: u32, format: Format) -> String {
    format!("{id}-{number:02}.{}", format.extension())
}

/// The bytes of a picture file. The same picture always gives the same bytes.
///
/// PNG is written with the fast compression: it is some 15 % larger than the default and an order of magnitude quicker, and
/// writing pictures otherwise takes longer than decoding the video.
pub fn encode_picture(picture: &Picture, spec: &FileSpec) -> Result<Vec<u8>, Error> {
    let fail = |detail: String| Error::Unwritable {
        width: picture.width,
        height: picture.height,
        format: spec.format.name(),
        detail,
    };
    let (Ok(width), Ok(height)) = (u32::try_from(picture.width), u32::try_from(picture.height)) else {
        return Err(fail("too large".to_owned()));
    };
    if picture.rgb.len() != picture.width * picture.height * 3 {
        return Err(fail(format!("{} bytes of pixels", picture.rgb.len())));
    }
    let mut bytes = Vec::new();
    match spec.format {
        Format::Png => PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Adaptive)
            .write_image(&picture.rgb, width, height, ExtendedColorType::Rgb8),
        Format::Jpeg => {
            // `Spec` always carries a quality with JPEG; 95 is the product's default.
            JpegEncoder::new_with_quality(&mut bytes, spec.jpeg_quality.unwrap_or(95)).write_image(
                &picture.rgb,
                width,
                height,
                ExtendedColorType::Rgb8,
            )
        }
    }
    .map_err(|e| fail(e.to_string()))?;
    Ok(bytes)
}

/// The pixels of a PNG that [`encode_picture`] wrote, as they were.
pub fn decode_picture(bytes: &[u8]) -> Result<Picture, Error> {
    let unreadable = |e: image::ImageError| Error::Unreadable { detail: e.to_string() };
    let rgb = image::load_from_memory_with_format(bytes, image::ImageFormat::Png).map_err(unreadable)?.into_rgb8();
    Ok(Picture { width: rgb.width() as usize, height: rgb.height() as usize, rgb: rgb.into_raw() })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn noise(width: usize, height: usize) -> Picture {
        let rgb = (0..width * height * 3).map(|i| (i as u32).wrapping_mul(2654435761).to_be_bytes()[0]).collect();
        Picture { width, height, rgb }
    }

    #[test]
    fn names_are_those_of_the_reference() {
        assert_eq!(picture_name("airport-lisbon-1000-40000", 5, Format::Png), "airport-lisbon-1000-40000-05.png");
        assert_eq!(picture_name("a", 100, Format::Jpeg), "a-100.jpg");
    }

    #[test]
    fn png_gives_the_same_pixels_back_and_the_same_bytes_again() {
        let spec = FileSpec { format: Format::Png, jpeg_quality: None };
        for (width, height) in [(1, 1), (37, 21), (64, 64)] {
            let picture = noise(width, height);
            let bytes = encode_picture(&picture, &spec).unwrap();
            assert_eq!(bytes, encode_picture(&picture, &spec).unwrap());
            let back = image::load_from_memory(&bytes).unwrap();
            assert_eq!(back.color(), image::ColorType::Rgb8);
            assert_eq!(back.into_rgb8().into_raw(), picture.rgb);
            assert_eq!(decode_picture(&bytes).unwrap(), picture);
            assert!(decode_picture(&bytes[..bytes.len() / 2]).is_err());
        }
    }

    #[test]
    fn jpeg_quality_is_honoured() {
        let picture = noise(64, 48);
        let size =
            |q| encode_picture(&picture, &FileSpec { format: Format::Jpeg, jpeg_quality: Some(q) }).unwrap().len();
        assert!(size(10) < size(95));
    }

    #[test]
    fn a_picture_that_lies_about_its_size_is_refused() {
        let mut picture = noise(4, 4);
        picture.rgb.pop();
        let error = encode_picture(&picture, &FileSpec { format: Format::Png, jpeg_quality: None }).unwrap_err();
        assert!(error.to_string().contains("47 bytes"), "{error}");
    }

    #[test]
    fn an_empty_picture_is_refused() {
        let picture = Picture { width: 0, height: 0, rgb: Vec::new() };
        assert!(encode_picture(&picture, &FileSpec { format: Format::Png, jpeg_quality: None }).is_err());
    }
}
