//! From a decoded frame to RGB bytes: turned as the display matrix says, then converted as the command's scale filter does.

use contract::Picture;
use ffmpeg_next::{ffi, frame};

use super::container::check_size;
use super::orient::Orientation;
use crate::MediaError;
use crate::libav::{NO_MEMORY, message};

/// What the command builds its filters for. When it changes, the filters are built anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    format: i32,
    width: i32,
    height: i32,
    /// A display matrix in the bit stream itself, which goes before the container's.
    matrix: Option<[i32; 9]>,
}

impl Shape {
    #[expect(unsafe_code, reason = "the binding panics on formats newer than itself")]
    pub(crate) fn of(frame: &frame::Video) -> Self {
        // SAFETY: the frame lives as long as the borrow; side data of this kind is 36 bytes, and is checked to be.
        unsafe {
            let raw = &*frame.as_ptr();
            let side = ffi::av_frame_get_side_data(raw, ffi::AVFrameSideDataType::AV_FRAME_DATA_DISPLAYMATRIX);
            let matrix = (!side.is_null() && (*side).size >= 36)
                .then(|| (*side).data.cast_const().cast::<[i32; 9]>().read_unaligned());
            Shape { format: raw.format, width: raw.width, height: raw.height, matrix }
        }
    }
}

/// Converts the frames of one stream. Pictures all have the size of the first, as the command's have.
pub(crate) struct Converter {
    /// The container's display matrix.
    matrix: Option<[i32; 9]>,
    /// Size of every picture.
    size: (usize, usize),
    scaler: Option<(Shape, Scaler)>,
    /// What the scaler writes, kept for the next picture: memory that is new has to be cleared by the system first.
    rgb: Option<frame::Video>,
    picture: Picture,
}

impl Converter {
    /// `first` is the shape of the stream's first frame, `matrix` the container's display matrix.
    pub(crate) fn new(first: Shape, matrix: Option<[i32; 9]>) -> Result<Self, MediaError> {
        let (width, height) = (first.width.max(0) as usize, first.height.max(0) as usize);
        check_size(width as u64, height as u64)?;
        let size = orientation(first, matrix)?.size(width, height);
        let picture = Picture { width: size.0, height: size.1, rgb: Vec::new() };
        Ok(Converter { matrix, size, scaler: None, rgb: None, picture })
    }

    /// The picture of a frame.
    pub(crate) fn picture(&mut self, frame: &frame::Video) -> Result<&Picture, MediaError> {
        let shape = Shape::of(frame);
        check_size(shape.width.max(0) as u64, shape.height.max(0) as u64)?;
        let orientation = orientation(shape, self.matrix)?;
        if orientation.is_identity() {
            self.convert(frame, shape, self.size)?;
        } else if turnable(shape.format) {
            self.convert(&turned(frame, shape, orientation)?, shape, self.size)?;
        } else {
            // The command converts to RGB before turning where a format cannot be turned, and scales to the first size after it.
            let (width, height) = self.size;
            self.convert(frame, shape, orientation.size(width, height))?;
            let upright = self.rgb.take().expect("just converted");
            self.rgb = Some(turned(&upright, Shape { format: RGB24 as i32, ..Shape::of(&upright) }, orientation)?);
        }
        let (width, height) = self.size;
        pack(self.rgb.as_ref().expect("just converted"), width * 3, height, &mut self.picture.rgb);
        Ok(&self.picture)
    }

    /// Makes `frame` RGB of this size in `self.rgb`.
    fn convert(&mut self, frame: &frame::Video, shape: Shape, size: (usize, usize)) -> Result<(), MediaError> {
        if self.scaler.as_ref().is_none_or(|(of, _)| *of != shape) {
            self.scaler = Some((shape, Scaler::new(frame, size)?));
        }
        let rgb = match self.rgb.take() {
            Some(rgb) if (rgb.width() as usize, rgb.height() as usize) == size => rgb,
            _ => allocate(RGB24 as i32, size, frame)?,
        };
        let (_, scaler) = self.scaler.as_mut().expect("just set");
        scaler.run(frame, self.rgb.insert(rgb))
    }
}

const RGB24: ffi::AVPixelFormat = ffi::AVPixelFormat::AV_PIX_FMT_RGB24;

fn orientation(shape: Shape, matrix: Option<[i32; 9]>) -> Result<Orientation, MediaError> {
    match shape.matrix.or(matrix).map(Orientation::from_matrix) {
        None => Ok(Orientation::default()),
        Some(Ok(orientation)) => Ok(orientation),
        Some(Err(angle)) => Err(MediaError::Unsupported { what: format!("a picture turned by {angle} degrees") }),
    }
}

/// A frame of this format and size with memory of its own, and the properties (colour matrix, range) of `like`.
#[expect(unsafe_code, reason = "the binding ignores a failed allocation")]
fn allocate(format: i32, (width, height): (usize, usize), like: &frame::Video) -> Result<frame::Video, MediaError> {
    let mut frame = frame::Video::empty();
    // SAFETY: both frames are valid; the size was checked; the result of the allocation is looked at.
    let code = unsafe {
        let raw = frame.as_mut_ptr();
        ffi::av_frame_copy_props(raw, like.as_ptr());
        (*raw).format = format;
        (*raw).width = width as i32;
        (*raw).height = height as i32;
        ffi::av_frame_get_buffer(raw, 0)
    };
    if code < 0 { Err(failed("av_frame_get_buffer", code)) } else { Ok(frame) }
}

/// The error of a call that should not fail.
fn failed(at: &'static str, code: i32) -> MediaError {
    match ffmpeg_next::Error::from(code) {
        NO_MEMORY => MediaError::OutOfMemory,
        _ => MediaError::Internal { at, detail: message(code) },
    }
}

/// The rows of an RGB frame without padding.
fn pack(frame: &frame::Video, bytes: usize, height: usize, out: &mut Vec<u8>) {
    out.clear();
    out.reserve_exact(bytes * height);
    for row in rows(frame, 0, bytes, height) {
        out.extend_from_slice(row);
    }
}

/// The rows of a plane from the top, `bytes` of each. Rows may lie in memory from the bottom.
#[expect(unsafe_code, reason = "the binding knows no negative strides")]
fn rows(frame: &frame::Video, plane: usize, bytes: usize, height: usize) -> Vec<&[u8]> {
    // SAFETY: a plane of a frame that libav allocated has `height` rows of at least `bytes` bytes, `linesize` apart, which live as
    // long as the frame; the callers derive both from the frame's own format and size.
    unsafe {
        let raw = &*frame.as_ptr();
        let stride = raw.linesize[plane] as isize;
        (0..height as isize).map(|y| std::slice::from_raw_parts(raw.data[plane].offset(y * stride), bytes)).collect()
    }
}

#[expect(unsafe_code, reason = "the binding panics on formats newer than itself")]
fn descriptor(format: i32) -> Option<ffi::AVPixFmtDescriptor> {
    if !(0..ffi::AVPixelFormat::AV_PIX_FMT_NB as i32).contains(&format) {
        return None;
    }
    // SAFETY: the value lies in the enumeration; libav returns null or a static description.
    unsafe { ffi::av_pix_fmt_desc_get(std::mem::transmute::<i32, ffi::AVPixelFormat>(format)).as_ref().copied() }
}

/// Whether samples can be moved in this format: whole bytes, no palette, chroma halved in both directions or in none.
fn turnable(format: i32) -> bool {
    let barred = (ffi::AV_PIX_FMT_FLAG_PAL | ffi::AV_PIX_FMT_FLAG_HWACCEL | ffi::AV_PIX_FMT_FLAG_BITSTREAM) as u64;
    descriptor(format).is_some_and(|d| d.flags & barred == 0 && d.log2_chroma_w == d.log2_chroma_h)
}

/// `frame`, turned.
#[expect(unsafe_code, reason = "writing into planes")]
fn turned(frame: &frame::Video, shape: Shape, orientation: Orientation) -> Result<frame::Video, MediaError> {
    let description = descriptor(shape.format).expect("`turnable` has seen it");
    let (width, height) = (shape.width as usize, shape.height as usize);
    let mut out = allocate(shape.format, orientation.size(width, height), frame)?;
    let mut steps = [0_i32; 4];
    // SAFETY: the arrays have the four elements that libav fills.
    unsafe { ffi::av_image_fill_max_pixsteps(steps.as_mut_ptr(), std::ptr::null_mut(), &raw const description) };
    for (plane, &step) in steps.iter().enumerate().filter(|&(_, &step)| step > 0) {
        let step = step as usize;
        let shift = |size: usize, by: u8| if matches!(plane, 1 | 2) { size.div_ceil(1 << by) } else { size };
        let (w, h) = (shift(width, description.log2_chroma_w), shift(height, description.log2_chroma_h));
        let rows = rows(frame, plane, w * step, h);
        let (tw, th) = orientation.size(w, h);
        // SAFETY: `out` was just allocated with this format and size: positive strides, `th` rows of `tw * step` bytes.
        let (target, stride) = unsafe {
            let raw = &*out.as_mut_ptr();
            let stride = raw.linesize[plane] as usize;
            (std::slice::from_raw_parts_mut(raw.data[plane], stride * (th - 1) + tw * step), stride)
        };
        orientation.turn(&rows, w, step, target, stride);
    }
    Ok(out)
}

/// libswscale, set up as the command's scale filter sets it up: bicubic, the stream's matrix and range for every frame, chroma of
/// 4:2:0 between the rows.
struct Scaler(*mut ffi::SwsContext);

impl Drop for Scaler {
    #[expect(unsafe_code, reason = "a C object")]
    fn drop(&mut self) {
        // SAFETY: the context is ours, or null.
        unsafe { ffi::sws_freeContext(self.0) };
    }
}

impl Scaler {
    #[expect(unsafe_code, reason = "the binding cannot set the chroma position before the context is initialised")]
    fn new(frame: &frame::Video, (width, height): (usize, usize)) -> Result<Self, MediaError> {
        // SAFETY: options are set on a fresh context by names that libswscale has; `Scaler` frees it on every path.
        unsafe {
            let source = &*frame.as_ptr();
            let scaler = Scaler(ffi::sws_alloc_context());
            if scaler.0.is_null() {
                return Err(MediaError::OutOfMemory);
            }
            let middle = if source.format == ffi::AVPixelFormat::AV_PIX_FMT_YUV420P as i32 { 128 } else { -513 };
            for (name, value) in [
                (c"srcw", i64::from(source.width)),
                (c"srch", i64::from(source.height)),
                (c"src_format", i64::from(source.format)),
                (c"dstw", width as i64),
                (c"dsth", height as i64),
                (c"dst_format", RGB24 as i64),
                (c"sws_flags", i64::from(ffi::SWS_BICUBIC)),
                (c"src_h_chr_pos", -513),
                (c"src_v_chr_pos", middle),
            ] {
                ffi::av_opt_set_int(scaler.0.cast(), name.as_ptr(), value, 0);
            }
            let code = ffi::sws_init_context(scaler.0, std::ptr::null_mut(), std::ptr::null_mut());
            if ffmpeg_next::Error::from(code) == NO_MEMORY {
                return Err(MediaError::OutOfMemory);
            }
            if code < 0 {
                let name = descriptor(source.format)
                    .map_or_else(String::new, |d| std::ffi::CStr::from_ptr(d.name).to_string_lossy().into_owned());
                return Err(MediaError::Unsupported { what: format!("pixel format {name}") });
            }
            Ok(scaler)
        }
    }

    #[expect(unsafe_code, reason = "C calls")]
    fn run(&mut self, frame: &frame::Video, out: &mut frame::Video) -> Result<(), MediaError> {
        // SAFETY: the context is initialised; out-parameters are locals; the tables are libswscale's own; both frames have memory.
        let code = unsafe {
            let source = &*frame.as_ptr();
            let (mut table, mut out_table) = (std::ptr::null_mut(), std::ptr::null_mut());
            let (mut full, mut out_full, mut brightness, mut contrast, mut saturation) = (0, 0, 0, 0, 0);
            ffi::sws_getColorspaceDetails(
                self.0,
                &raw mut table,
                &raw mut full,
                &raw mut out_table,
                &raw mut out_full,
                &raw mut brightness,
                &raw mut contrast,
                &raw mut saturation,
            );
            match source.color_range {
                ffi::AVColorRange::AVCOL_RANGE_JPEG => full = 1,
                ffi::AVColorRange::AVCOL_RANGE_MPEG => full = 0,
                _ => {}
            }
            let table = ffi::sws_getCoefficients(coefficients(source.colorspace));
            ffi::sws_setColorspaceDetails(self.0, table, full, table, out_full, brightness, contrast, saturation);
            ffi::sws_scale_frame(self.0, out.as_mut_ptr(), source)
        };
        if code < 0 {
            return Err(failed("sws_scale_frame", code));
        }
        Ok(())
    }
}

/// The matrix that the scale filter takes: the stream's where libswscale may know it, else BT.601.
fn coefficients(space: ffi::AVColorSpace) -> i32 {
    match space as i32 {
        space @ (1..=7 | 9 | 10) => space,
        _ => ffi::AVColorSpace::AVCOL_SPC_BT470BG as i32,
    }
}
