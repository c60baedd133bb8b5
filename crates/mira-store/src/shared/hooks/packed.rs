//! Contents of events as they are kept: packed, because what is written costs more than the packing, and it is written twice.
//!
//! A packed content is `zstd:` and the BASE64 of a zstd frame, so that its column stays text, which every database and every dump takes as it
//! is. Contents are JSON objects, and none begins with that word: what does not is not packed.

use std::io;

use data_encoding::BASE64;
use zstd::bulk::Compressor;

/// What a packed content begins with.
const MARK: &str = "zstd:";

/// How hard it is tried: events become an eighth with the fastest levels already.
const LEVEL: i32 = -3;

/// Packs contents, one after the other.
pub(super) struct Packer(Compressor<'static>);

impl Packer {
    pub(super) fn new() -> io::Result<Self> {
        Compressor::new(LEVEL).map(Self)
    }

    /// Returns a content as it is kept; as it is, where it would not be shorter.
    pub(super) fn pack(&mut self, body: &str) -> io::Result<String> {
        let frame = self.0.compress(body.as_bytes())?;
        let len = MARK.len() + BASE64.encode_len(frame.len());
        if len >= body.len() && !body.starts_with(MARK) {
            return Ok(body.to_owned());
        }
        let mut packed = String::with_capacity(len);
        packed.push_str(MARK);
        BASE64.encode_append(&frame, &mut packed);
        Ok(packed)
    }
}

/// Returns a content of a known size, from what is kept of it.
///
/// # Errors
///
/// Refuses what was not packed here.
pub(super) fn unpack(kept: String, bytes: usize) -> io::Result<String> {
    let Some(packed) = kept.strip_prefix(MARK) else {
        return Ok(kept);
    };
    let frame = BASE64.decode(packed.as_bytes());
    let frame = frame.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let body = zstd::bulk::decompress(&frame, bytes)?;
    String::from_utf8(body).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_comes_out_as_it_was_and_what_was_never_packed_too() {
        let mut packer = Packer::new().unwrap();
        let long = format!("{{\"a\":[{}0]}}", "{\"login\":\"octocat\"},".repeat(1_000));
        for body in ["{}", "", "zstd:", "{\"ä\":\"\\u0000\"}", &long] {
            let kept = packer.pack(body).unwrap();
            assert_eq!(unpack(kept, body.len()).unwrap(), body);
        }
        assert_eq!(packer.pack("{}").unwrap(), "{}");
        assert!(packer.pack(&long).unwrap().len() < long.len() / 20);
        assert_eq!(unpack(long.clone(), long.len()).unwrap(), long);
    }

    #[test]
    fn what_is_damaged_or_longer_than_it_was_is_an_error() {
        let mut packer = Packer::new().unwrap();
        let kept = packer.pack(&"{} ".repeat(1_000)).unwrap();
        assert!(unpack(kept.clone(), 2_999).is_err());
        assert!(unpack("zstd:no".to_owned(), 100).is_err());
        assert!(unpack("zstd:AAAA".to_owned(), 100).is_err());
        assert!(unpack(kept, 3_000).is_ok());
    }
}
