//! Gzip, pushed: header, deflate stream and trailer of each member, one after the other.
//!
//! The header and trailer are read here and not by the inflater so that every
//! cut and every stray byte has a name, and so that a stream of several members
//! (as concatenated files are) is read to its last.

use crc32fast::Hasher;
use flate2::{Decompress, FlushDecompress, Status};

use super::ReadError;

/// The first two bytes of every member.
pub(super) const MAGIC: [u8; 2] = [0x1f, 0x8b];

const FHCRC: u8 = 2;
const FEXTRA: u8 = 4;
const FNAME: u8 = 8;
const FCOMMENT: u8 = 16;
const RESERVED: u8 = 0xe0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Before a member, with nothing of it seen; a good place to end.
    Between,
    /// Byte `n` of the ten fixed header bytes.
    Fixed(u8),
    ExtraLength(u8),
    Extra,
    Name,
    Comment,
    HeaderCrc(u8),
    Body,
    /// Byte `n` of the eight trailer bytes.
    Trailer(u8),
}

/// Inflates gzip members.
pub(super) struct Gunzip {
    at: At,
    flags: u8,
    /// Bytes left of the extra field; also collects little-endian numbers.
    number: u64,
    header_crc: Hasher,
    inflate: Decompress,
    /// Checksum and length of what this member inflated to. (The inflater's own
    /// checksum is several times slower than this one.)
    crc: Hasher,
    length: u32,
    stored: u64,
}

/// What one call of [`Gunzip::inflate`] moved.
pub(super) struct Moved {
    pub(super) input: usize,
    pub(super) output: usize,
}

impl Gunzip {
    pub(super) fn new() -> Self {
        Self {
            at: At::Between,
            flags: 0,
            number: 0,
            header_crc: Hasher::new(),
            inflate: Decompress::new(false),
            crc: Hasher::new(),
            length: 0,
            stored: 0,
        }
    }

    /// Whether the stream may end here: behind a complete member.
    pub(super) fn between_members(&self) -> bool {
        self.at == At::Between && self.stored > 0
    }

    /// Inflates from `input` into `output` until one of them is used up.
    ///
    /// A cut body shows itself only when the input ends: the caller asks
    /// [`between_members`](Self::between_members) then.
    pub(super) fn inflate(&mut self, input: &[u8], output: &mut [u8]) -> Result<Moved, ReadError> {
        let mut moved = Moved {
            input: 0,
            output: 0,
        };
        while moved.output < output.len() {
            if self.at == At::Body {
                let (used, made) = self.body(&input[moved.input..], &mut output[moved.output..])?;
                moved.input += used;
                moved.output += made;
                if used == 0 && made == 0 && self.at == At::Body {
                    break;
                }
            } else {
                let Some(&byte) = input.get(moved.input) else {
                    break;
                };
                self.frame(byte)?;
                moved.input += 1;
                self.stored += 1;
            }
        }
        Ok(moved)
    }

    fn body(&mut self, input: &[u8], output: &mut [u8]) -> Result<(usize, usize), ReadError> {
        let (before_in, before_out) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self
            .inflate
            .decompress(input, output, FlushDecompress::None)
            .map_err(|_| self.corrupt("the deflate stream is not valid"))?;
        let used = distance(before_in, self.inflate.total_in());
        let made = distance(before_out, self.inflate.total_out());
        self.crc.update(&output[..made]);
        // The trailer holds the length modulo 2^32.
        #[allow(clippy::cast_possible_truncation, reason = "modulo 2^32 is meant")]
        let made_modulo = made as u32;
        self.length = self.length.wrapping_add(made_modulo);
        self.stored += used as u64;
        if status == Status::StreamEnd {
            self.at = At::Trailer(0);
            self.number = 0;
        }
        Ok((used, made))
    }

    /// One byte of a header or a trailer.
    fn frame(&mut self, byte: u8) -> Result<(), ReadError> {
        if !matches!(self.at, At::Trailer(_) | At::HeaderCrc(_)) {
            self.header_crc.update(&[byte]);
        }
        match self.at {
            At::Between => {
                if byte != MAGIC[0] {
                    return Err(self.corrupt("bytes behind the last member that start no member"));
                }
                self.header_crc.reset();
                self.header_crc.update(&[byte]);
                self.at = At::Fixed(1);
            }
            At::Fixed(n) => {
                match (n, byte) {
                    (1, b) if b != MAGIC[1] => {
                        return Err(self.corrupt("bytes that start no member"));
                    }
                    (2, b) if b != 8 => return Err(self.corrupt("an unknown compression method")),
                    (3, b) if b & RESERVED != 0 => {
                        return Err(self.corrupt("reserved header flags"));
                    }
                    (3, b) => self.flags = b,
                    _ => {}
                }
                self.at = if n < 9 {
                    At::Fixed(n + 1)
                } else if self.flags & FEXTRA != 0 {
                    self.number = 0;
                    At::ExtraLength(0)
                } else {
                    self.after_extra()
                };
            }
            At::ExtraLength(n) => {
                self.number |= u64::from(byte) << (8 * n);
                self.at = match (n, self.number) {
                    (0, _) => At::ExtraLength(1),
                    (_, 0) => self.after_extra(),
                    _ => At::Extra,
                };
            }
            At::Extra => {
                self.number -= 1;
                if self.number == 0 {
                    self.at = self.after_extra();
                }
            }
            At::Name => {
                if byte == 0 {
                    self.at = self.after_name();
                }
            }
            At::Comment => {
                if byte == 0 {
                    self.at = self.after_comment();
                }
            }
            At::HeaderCrc(n) => {
                self.number |= u64::from(byte) << (8 * n);
                if n == 0 {
                    self.at = At::HeaderCrc(1);
                } else if self.number != u64::from(self.header_crc.clone().finalize() & 0xffff) {
                    return Err(self.corrupt("the header's checksum does not match"));
                } else {
                    self.at = self.start_body();
                }
            }
            At::Trailer(n) => {
                self.number |= u64::from(byte) << (8 * n);
                if n < 7 {
                    self.at = At::Trailer(n + 1);
                } else {
                    let expected =
                        u64::from(self.crc.clone().finalize()) | u64::from(self.length) << 32;
                    if self.number != expected {
                        return Err(self.corrupt("the trailer's checksum or length does not match"));
                    }
                    self.at = At::Between;
                }
            }
            At::Body => {}
        }
        Ok(())
    }

    fn after_extra(&mut self) -> At {
        if self.flags & FNAME != 0 {
            At::Name
        } else {
            self.after_name()
        }
    }

    fn after_name(&mut self) -> At {
        if self.flags & FCOMMENT != 0 {
            At::Comment
        } else {
            self.after_comment()
        }
    }

    fn after_comment(&mut self) -> At {
        if self.flags & FHCRC != 0 {
            self.number = 0;
            At::HeaderCrc(0)
        } else {
            self.start_body()
        }
    }

    fn start_body(&mut self) -> At {
        self.inflate.reset(false);
        self.crc.reset();
        self.length = 0;
        At::Body
    }

    fn corrupt(&self, what: &'static str) -> ReadError {
        ReadError::Corrupt {
            stored: self.stored,
            what,
        }
    }
}

/// How far a counter of the inflater moved in one call: never more than a slice is long.
fn distance(before: u64, after: u64) -> usize {
    usize::try_from(after - before).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Everything inflated, in pieces of `step` stored bytes and `room` output bytes.
    fn inflate(stored: &[u8], step: usize, room: usize) -> Result<(Vec<u8>, bool), ReadError> {
        let mut gunzip = Gunzip::new();
        let mut out = Vec::new();
        for mut piece in stored.chunks(step) {
            loop {
                let mut buffer = vec![0; room];
                let moved = gunzip.inflate(piece, &mut buffer)?;
                out.extend_from_slice(&buffer[..moved.output]);
                piece = &piece[moved.input..];
                if piece.is_empty() && moved.output < room {
                    break;
                }
            }
        }
        Ok((out, gunzip.between_members()))
    }

    #[test]
    fn every_optional_header_field_is_read_and_its_checksum_checked() {
        let plain = b"{\"Records\":[]}";
        let bare = gzip(plain);
        let mut crc = Hasher::new();
        let mut full = vec![
            0x1f,
            0x8b,
            8,
            FHCRC | FEXTRA | FNAME | FCOMMENT,
            0,
            0,
            0,
            0,
            0,
            255,
        ];
        full.extend_from_slice(&[3, 0, b'x', b'y', b'z']);
        full.extend_from_slice(b"name\0comment\0");
        crc.update(&full);
        full.extend_from_slice(&(crc.finalize() as u16).to_le_bytes());
        let crc_at = full.len() - 1;
        full.extend_from_slice(&bare[10..]);
        for step in 1..full.len() {
            assert_eq!(inflate(&full, step, 7), Ok((plain.to_vec(), true)));
        }
        full[crc_at] ^= 1;
        assert!(matches!(
            inflate(&full, 5, 7),
            Err(ReadError::Corrupt {
                what: "the header's checksum does not match",
                ..
            })
        ));
    }

    #[test]
    fn a_flipped_trailer_and_stray_bytes_behind_it_are_errors() {
        let good = gzip(b"hello");
        for at in good.len() - 8..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert!(inflate(&bad, 3, 64).is_err(), "trailer byte {at}");
        }
        for stray in [&b"\0"[..], b"\x1f", b"\x1f\x8c", b"garbage"] {
            let mut bad = good.clone();
            bad.extend_from_slice(stray);
            let ends_well = matches!(inflate(&bad, 4, 64), Ok((_, true)));
            assert!(!ends_well, "{stray:?}");
        }
    }

    proptest! {
        #[test]
        fn members_come_out_whole_in_any_pieces(
            members in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 1..4),
            step in 1usize..50,
            room in 1usize..50,
            cut in any::<prop::sample::Index>(),
        ) {
            let stored: Vec<u8> = members.iter().flat_map(|m| gzip(m)).collect();
            let whole = members.concat();
            prop_assert_eq!(inflate(&stored, step, room), Ok((whole, true)));
            let at = cut.index(stored.len());
            let ends: Vec<usize> = members
                .iter()
                .scan(0, |sum, m| { *sum += gzip(m).len(); Some(*sum) })
                .collect();
            if let Ok((_, complete)) = inflate(&stored[..at], step, room) {
                prop_assert_eq!(complete, ends.contains(&at));
            }
        }
    }
}
