//! A file by its path.
use std::io::Read;
use std::path::{Path, PathBuf};

use media::{MediaError, Video};

pub(crate) struct MediaFile(PathBuf);

impl MediaFile {
    pub(crate) fn read(path: &Path) -> Result<MediaFile, MediaError> {
        std::fs::File::open(path).map_err(|e| MediaError::from_io(&e))?;
        Ok(MediaFile(path.to_path_buf()))
    }

    pub(crate) fn hash_into(&self, each: &mut impl FnMut(&[u8])) -> Result<(), MediaError> {
        let mut file = std::fs::File::open(&self.0).map_err(|e| MediaError::from_io(&e))?;
        let mut piece = vec![0; 1 << 20];
        loop {
            match file.read(&mut piece).map_err(|e| MediaError::from_io(&e))? {
                0 => return Ok(()),
                n => each(&piece[..n]),
            }
        }
    }
}

pub(crate) fn open_file(file: &MediaFile) -> Result<Video, MediaError> {
    Video::open(&file.0)
}

pub(crate) fn sound_of(file: &MediaFile) -> Result<contract::Sound, MediaError> {
    media::sound(&file.0)
}
