//! The boxes of an MP4 file (ISO/IEC 14496-12, clause 4.2): size, name, content; some hold others.

/// Boxes that hold nothing but boxes.
const HOLDERS: [&[u8; 4]; 10] =
    [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"dinf", b"mvex", b"moof", b"traf"];

/// A box with its content.
#[derive(Debug, Clone)]
pub(crate) struct Mp4Box {
    pub(crate) name: [u8; 4],
    pub(crate) content: Content,
}

#[derive(Debug, Clone)]
pub(crate) enum Content {
    Bytes(Vec<u8>),
    Boxes(Vec<Mp4Box>),
}

/// The boxes of a file; `None` where it has none, or other than plain ones of 32-bit sizes.
pub(crate) fn parse(bytes: &[u8]) -> Option<Vec<Mp4Box>> {
    let mut boxes = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (size, name) = head(rest)?;
        let body = rest.get(8..size)?;
        let holds = HOLDERS.contains(&&name);
        let content = if holds { Content::Boxes(parse(body)?) } else { Content::Bytes(body.to_vec()) };
        boxes.push(Mp4Box { name, content });
        rest = &rest[size..];
    }
    Some(boxes)
}

fn head(bytes: &[u8]) -> Option<(usize, [u8; 4])> {
    let size = u32::from_be_bytes(*bytes.first_chunk()?) as usize;
    let name: [u8; 4] = *bytes.get(4..)?.first_chunk()?;
    (size >= 8).then_some((size, name))
}

/// The file of these boxes.
pub(crate) fn write(boxes: &[Mp4Box]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for one in boxes {
        let body = match &one.content {
            Content::Bytes(bytes) => bytes.clone(),
            Content::Boxes(boxes) => write(boxes),
        };
        bytes.extend((body.len() as u32 + 8).to_be_bytes());
        bytes.extend(one.name);
        bytes.extend(body);
    }
    bytes
}

/// Where each box begins, its content begins, and it ends, with its name; those inside of others as well.
pub(crate) fn places(bytes: &[u8]) -> Vec<(usize, usize, [u8; 4])> {
    fn walk(bytes: &[u8], from: usize, to: usize, found: &mut Vec<(usize, usize, [u8; 4])>) {
        let mut at = from;
        while let Some((size, name)) = bytes.get(at..to).and_then(head) {
            let end = (at + size).min(to);
            found.push((at, end, name));
            if HOLDERS.contains(&&name) {
                walk(bytes, at + 8, end, found);
            }
            at = end;
        }
    }
    let mut found = Vec::new();
    walk(bytes, 0, bytes.len(), &mut found);
    found
}

/// The boxes at the end of this path, e.g. `moov/trak/mdia`.
pub(crate) fn find<'a>(boxes: &'a mut [Mp4Box], path: &str) -> Vec<&'a mut Mp4Box> {
    let (name, rest) = path.split_once('/').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let named = boxes.iter_mut().filter(|one| one.name == name.as_bytes());
    match rest {
        None => named.collect(),
        Some(rest) => named
            .flat_map(|one| match &mut one.content {
                Content::Boxes(boxes) => find(boxes, rest),
                Content::Bytes(_) => Vec::new(),
            })
            .collect(),
    }
}

#[test]
fn what_is_written_is_what_was_parsed() {
    let leaf = |name: &[u8; 4], bytes: &[u8]| Mp4Box { name: *name, content: Content::Bytes(bytes.to_vec()) };
    let track = |n: u8| Mp4Box { name: *b"trak", content: Content::Boxes(vec![leaf(b"tkhd", &[n; 5])]) };
    let movie = Mp4Box { name: *b"moov", content: Content::Boxes(vec![track(1), track(2)]) };
    let bytes = write(&[leaf(b"ftyp", b"isom"), movie, leaf(b"mdat", &[7; 30])]);
    let mut boxes = parse(&bytes).unwrap();
    assert_eq!(write(&boxes), bytes);
    assert_eq!(find(&mut boxes, "moov/trak/tkhd").len(), 2);
    let names = places(&bytes);
    assert_eq!(names[..3], [(0, 12, *b"ftyp"), (12, 62, *b"moov"), (20, 41, *b"trak")]);
    assert_eq!(names.len(), 7);
    assert!(parse(&bytes[..bytes.len() - 1]).is_none());
}
