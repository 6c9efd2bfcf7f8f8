//! Reading the lines of a segment, one at a time.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Take};

/// The lines of a segment between two of its bytes.
pub(super) struct Lines {
    from: BufReader<Take<File>>,
    /// Behind the last whole line.
    at: u64,
    line: Vec<u8>,
}

impl Lines {
    /// The lines from byte `begin`, where a line begins, to byte `end`.
    pub(super) fn new(mut file: File, begin: u64, end: u64) -> io::Result<Self> {
        file.seek(SeekFrom::Start(begin))?;
        Ok(Self {
            from: BufReader::with_capacity(64 * 1024, file.take(end.saturating_sub(begin))),
            at: begin,
            line: Vec::new(),
        })
    }

    /// The next line without its line feed. What follows the last line feed is
    /// no line: it was not written to its end.
    pub(super) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        self.line.clear();
        // Nothing of a large line's memory stays for the small ones behind it.
        self.line.shrink_to(1 << 20);
        let read = self.from.read_until(b'\n', &mut self.line)?;
        if self.line.pop() != Some(b'\n') {
            return Ok(None);
        }
        self.at += read as u64;
        Ok(Some(&self.line))
    }

    /// Behind the last whole line.
    pub(super) fn at(&self) -> u64 {
        self.at
    }
}
