//! What the stand-in received: counted always, kept within a budget.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use jiff::Timestamp;
use memchr::memchr_iter;

/// What a post costs beside its bytes and line ranges, roughly.
const OVERHEAD: usize = 128;

/// How much of everything there was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Requests of any kind, those too that were refused or never answered.
    pub requests: u64,
    /// Requests that were answered with 400 or above.
    pub refused: u64,
    /// Posts of log lines that were accepted.
    pub posts: u64,
    /// Lines of the accepted posts; blank lines are none.
    pub lines: u64,
    /// Bytes of the accepted posts, after inflation.
    pub bytes: u64,
    /// Lines that are kept now.
    pub kept: u64,
    /// Accepted lines that are no longer kept because the budget was full.
    pub dropped: u64,
}

#[derive(Debug, Default)]
pub(super) struct Store {
    /// `None`: nothing is kept.
    budget: Option<usize>,
    kept: Mutex<Kept>,
    requests: AtomicU64,
    refused: AtomicU64,
    posts: AtomicU64,
    lines: AtomicU64,
    bytes: AtomicU64,
}

#[derive(Debug, Default)]
struct Kept {
    posts: VecDeque<Arc<Post>>,
    held: usize,
    lines: u64,
    dropped: u64,
    /// The number of the next line, counted from the start or the last clearing.
    next: u64,
}

/// The lines of one request.
#[derive(Debug)]
pub(super) struct Post {
    body: Bytes,
    lines: Vec<Range<u32>>,
    /// The number of its first line.
    pub(super) first: u64,
    pub(super) received: Timestamp,
}

impl Post {
    pub(super) fn lines(&self) -> impl Iterator<Item = Bytes> + '_ {
        self.lines
            .iter()
            .map(|r| self.body.slice(r.start as usize..r.end as usize))
    }

    fn end(&self) -> u64 {
        self.first + self.lines.len() as u64
    }

    fn held(&self) -> usize {
        self.body.len() + self.lines.len() * size_of::<Range<u32>>() + OVERHEAD
    }
}

impl Store {
    pub(super) fn new(budget: Option<usize>) -> Self {
        Self {
            budget,
            ..Self::default()
        }
    }

    pub(super) fn keeps(&self) -> bool {
        self.budget.is_some()
    }

    pub(super) fn note_request(&self) {
        self.requests.fetch_add(1, Relaxed);
    }

    pub(super) fn note_answer(&self, status: u16) {
        if status >= 400 {
            self.refused.fetch_add(1, Relaxed);
        }
    }

    /// Takes an accepted post of which only the numbers are known.
    pub(super) fn count(&self, lines: u64, bytes: u64) {
        self.posts.fetch_add(1, Relaxed);
        self.lines.fetch_add(lines, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    /// Takes an accepted post; the oldest posts go to make room.
    pub(super) fn keep(&self, body: Bytes, received: Timestamp) {
        let lines = split(&body);
        self.count(lines.len() as u64, body.len() as u64);
        let mut kept = self.lock();
        let post = Post {
            body,
            lines,
            first: kept.next,
            received,
        };
        kept.next = post.end();
        kept.lines += post.lines.len() as u64;
        kept.held += post.held();
        kept.posts.push_back(Arc::new(post));
        while kept.held > self.budget.unwrap_or(0) {
            let Some(oldest) = kept.posts.pop_front() else {
                break;
            };
            let lines = oldest.lines.len() as u64;
            kept.held -= oldest.held();
            kept.lines -= lines;
            kept.dropped += lines;
        }
    }

    /// The kept post that holds line `number`, or the first one behind it.
    pub(super) fn post_from(&self, number: u64) -> Option<Arc<Post>> {
        let kept = self.lock();
        let at = kept.posts.partition_point(|post| post.end() <= number);
        kept.posts.get(at).map(Arc::clone)
    }

    /// Shows every kept line, its number and when it came, until `see` says no more.
    pub(super) fn each_line(&self, mut see: impl FnMut(&[u8], u64, Timestamp) -> bool) {
        let mut number = 0;
        while let Some(post) = self.post_from(number) {
            number = post.first;
            for line in post.lines() {
                if !see(&line, number, post.received) {
                    return;
                }
                number += 1;
            }
        }
    }

    /// The numbers of the kept lines.
    pub(super) fn range(&self) -> Range<u64> {
        let kept = self.lock();
        kept.posts.front().map_or(kept.next, |post| post.first)..kept.next
    }

    pub(super) fn lines(&self) -> Vec<Bytes> {
        let kept = self.lock();
        kept.posts.iter().flat_map(|post| post.lines()).collect()
    }

    pub(super) fn clear(&self) {
        *self.lock() = Kept::default();
        for counter in [
            &self.requests,
            &self.refused,
            &self.posts,
            &self.lines,
            &self.bytes,
        ] {
            counter.store(0, Relaxed);
        }
    }

    pub(super) fn counts(&self) -> Counts {
        let kept = self.lock();
        Counts {
            requests: self.requests.load(Relaxed),
            refused: self.refused.load(Relaxed),
            posts: self.posts.load(Relaxed),
            lines: self.lines.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            kept: kept.lines,
            dropped: kept.dropped,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The lines of a body: LF or CRLF ends one, the last may have no end, blank ones are none.
fn split(body: &[u8]) -> Vec<Range<u32>> {
    let mut lines = Vec::new();
    let mut start = 0;
    for end in memchr_iter(b'\n', body).chain([body.len()]) {
        let line = body.get(start..end).unwrap_or_default();
        let length = line.strip_suffix(b"\r").unwrap_or(line).len();
        if length > 0 {
            #[allow(
                clippy::cast_possible_truncation,
                reason = "bodies are capped far below 4 GiB"
            )]
            lines.push(start as u32..(start + length) as u32);
        }
        start = end + 1;
    }
    lines
}

/// Counts lines as [`split`] finds them, in chunks cut anywhere.
#[derive(Debug, Default)]
pub(super) struct LineCounter {
    pub(super) lines: u64,
    /// Bytes of the line that is open, and whether they are one CR alone.
    open: usize,
    only_cr: bool,
}

impl LineCounter {
    pub(super) fn push(&mut self, chunk: &[u8]) {
        let mut start = 0;
        for end in memchr_iter(b'\n', chunk) {
            self.extend(&chunk[start..end]);
            self.close();
            start = end + 1;
        }
        self.extend(&chunk[start..]);
    }

    fn extend(&mut self, part: &[u8]) {
        if !part.is_empty() {
            self.only_cr = self.open == 0 && part == b"\r";
            self.open += part.len();
        }
    }

    fn close(&mut self) {
        if self.open > 0 && !self.only_cr {
            self.lines += 1;
        }
        self.open = 0;
        self.only_cr = false;
    }

    /// The number of lines, the open one included.
    pub(super) fn finish(mut self) -> u64 {
        self.close();
        self.lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_end_with_lf_or_crlf_and_blank_ones_are_none() {
        let store = Store::new(Some(1 << 20));
        store.keep(
            Bytes::from_static(b"a\r\n\r\n\nb\rc\n{}"),
            Timestamp::UNIX_EPOCH,
        );
        assert_eq!(store.lines(), ["a", "b\rc", "{}"]);
        assert_eq!(store.counts().lines, 3);
    }

    #[test]
    fn the_oldest_go_when_the_budget_is_full() {
        let store = Store::new(Some(1000));
        for n in 0..20_u8 {
            store.keep(Bytes::from(vec![b'a' + n; 100]), Timestamp::UNIX_EPOCH);
            assert!(store.lock().held <= 1000);
        }
        let counts = store.counts();
        assert_eq!((counts.lines, counts.kept + counts.dropped), (20, 20));
        assert!(counts.kept >= 3);
        assert_eq!(store.lines().last().map(|l| l[0]), Some(b'a' + 19));
        assert_eq!(store.range(), counts.dropped..20);
        assert_eq!(store.post_from(0).map(|p| p.first), Some(counts.dropped));
        assert_eq!(store.post_from(19).map(|p| p.first), Some(19));
        assert!(store.post_from(20).is_none());
        store.keep(Bytes::from(vec![b'z'; 2000]), Timestamp::UNIX_EPOCH);
        assert_eq!(store.counts().kept, 0);
    }

    proptest! {
        #[test]
        fn counting_in_chunks_agrees_with_splitting(body in prop::collection::vec(prop::sample::select(b"a\r\n".to_vec()), 0..60), cuts in prop::collection::vec(0_usize..60, 0..8)) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(body.len())).collect();
            cuts.extend([0, body.len()]);
            cuts.sort_unstable();
            let mut counter = LineCounter::default();
            for pair in cuts.windows(2) {
                counter.push(&body[pair[0]..pair[1]]);
            }
            prop_assert_eq!(counter.finish(), split(&body).len() as u64);
        }
    }
}
