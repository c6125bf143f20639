//! Cache files end with their BLAKE3, so that a torn or flipped one is noticed.

/// Appends the checksum.
pub fn seal(mut body: Vec<u8>) -> Vec<u8> {
    let digest = hash(&body);
    body.extend_from_slice(digest.as_bytes());
    body
}

/// The body of a sealed file, if its checksum holds.
pub fn unseal(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let (body, digest) = bytes.split_last_chunk::<32>()?;
    if hash(body) != *digest {
        return None;
    }
    bytes.truncate(bytes.len() - 32);
    Some(bytes)
}

/// On every core: the caches of a data set of a million clips are hundreds of megabytes.
fn hash(body: &[u8]) -> blake3::Hash {
    blake3::Hasher::new().update_rayon(body).finalize()
}
