use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use super::{Delivery, Sink};
use crate::batch::{Batch, BatchLimits};
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::text::printable;

/// Writes records to a file or a stream, one a line.
///
/// A batch counts as accepted when it was written and flushed and, for a regular
/// file, synced to its disk. Where a write fails half-way, a regular file is cut
/// back to its last whole batch, so that trying again doubles nothing.
pub struct LineSink {
    limits: BatchLimits,
    out: Arc<Mutex<Out>>,
}

impl fmt::Debug for LineSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineSink")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

enum Out {
    /// A regular file, and its length up to the last whole batch.
    File {
        file: File,
        length: u64,
    },
    Stream(Box<dyn Write + Send>),
    /// The stream failed half-way through a line: nothing more can follow.
    Broken,
}

impl LineSink {
    /// A new file that only its owner can read, or an existing pipe or device.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) where a regular file of that name exists: it
    /// is not overwritten. Otherwise why it cannot be opened.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let shown = printable(&path.to_string_lossy()).into_owned();
        let mut options = OpenOptions::new();
        options.write(true);
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_file() => {
                return Err(Error::new(
                    ErrorKind::Config,
                    "output",
                    format!("{shown} exists and is not overwritten; name a new file"),
                ));
            }
            Ok(metadata) if metadata.is_dir() => {
                let message = format!("{shown} is a folder; name a new file in it");
                return Err(Error::new(ErrorKind::Config, "output", message));
            }
            // A pipe or a device: opened as it is.
            Ok(_) => {}
            Err(_) => {
                options.create_new(true);
                #[cfg(unix)]
                {
                    use std::os::unix::fs::OpenOptionsExt;
                    options.mode(0o600);
                }
            }
        }
        let opened = options
            .open(path)
            .and_then(|file| Ok((file.metadata()?, file)));
        match opened {
            Ok((metadata, file)) if metadata.is_file() => {
                Ok(Self::over(Out::File { file, length: 0 }))
            }
            Ok((_, file)) => Ok(Self::writer(file)),
            Err(error) => Err(Error::new(
                ErrorKind::Config,
                "output",
                format!("{shown} cannot be written: {error}"),
            )),
        }
    }

    /// Standard output.
    #[must_use]
    pub fn stdout() -> Self {
        Self::writer(io::stdout())
    }

    /// Any writer.
    pub fn writer(writer: impl Write + Send + 'static) -> Self {
        Self::over(Out::Stream(Box::new(writer)))
    }

    fn over(out: Out) -> Self {
        Self {
            // A line of any length may be written.
            limits: BatchLimits::new(1 << 20),
            out: Arc::new(Mutex::new(out)),
        }
    }

    /// The same sink with other limits (default: batches of 1 MiB).
    #[must_use]
    pub fn with_limits(mut self, limits: BatchLimits) -> Self {
        self.limits = limits;
        self
    }
}

impl Out {
    fn write(&mut self, body: &Bytes) -> io::Result<()> {
        match self {
            Self::File { file, length } => {
                let written = file
                    .write_all(body)
                    .and_then(|()| file.write_all(b"\n"))
                    .and_then(|()| file.sync_data());
                match written {
                    Ok(()) => {
                        *length += body.len() as u64 + 1;
                        Ok(())
                    }
                    Err(error) => {
                        let whole = *length;
                        let cut = file
                            .set_len(whole)
                            .and_then(|()| file.seek(SeekFrom::Start(whole)).map(drop));
                        if cut.is_err() {
                            *self = Self::Broken;
                        }
                        Err(error)
                    }
                }
            }
            Self::Stream(stream) => {
                let written = stream
                    .write_all(body)
                    .and_then(|()| stream.write_all(b"\n"))
                    .and_then(|()| stream.flush());
                if written.is_err() {
                    *self = Self::Broken;
                }
                written
            }
            Self::Broken => Err(io::Error::new(
                io::ErrorKind::BrokenPipe,
                "an earlier line was cut",
            )),
        }
    }
}

#[async_trait]
impl Sink for LineSink {
    fn limits(&self) -> BatchLimits {
        self.limits
    }

    async fn deliver(&self, batch: &Batch) -> Result<Delivery> {
        let body = batch.body();
        let out = Arc::clone(&self.out);
        // A slow disk or a full pipe must not hold up the runtime.
        let written = tokio::task::spawn_blocking(move || {
            let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
            out.write(&body)
        });
        match written.await {
            Ok(Ok(())) => Ok(Delivery::accepted()),
            Ok(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => Err(Error::new(
                ErrorKind::Unavailable,
                "output",
                "the reader of the output went away",
            )),
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => Err(Error::new(
                ErrorKind::Unavailable,
                "output",
                format!("it cannot be written: {error}"),
            )
            .with_retry(Retry::Backoff)),
            Ok(Err(error)) => Err(Error::new(
                ErrorKind::Unavailable,
                "output",
                format!("it cannot be written: {error}"),
            )),
            Err(error) => Err(Error::new(
                ErrorKind::Other,
                "output",
                format!("the writing task ended: {error}"),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::BatchBuilder;
    use crate::object::{Object, ObjectId};

    fn batch(records: &[&str]) -> Batch {
        BatchBuilder::of_records(
            Object::new(ObjectId::new("b", "k")),
            records.iter().map(|r| r.as_bytes()),
        )
    }

    #[tokio::test]
    async fn records_are_lines_of_a_new_private_file_and_an_existing_one_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.ndjson");
        let sink = LineSink::create(&path).unwrap();
        sink.deliver(&batch(&["{\"a\":1}", "{}"])).await.unwrap();
        sink.deliver(&batch(&["{\"b\":2}"])).await.unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "{\"a\":1}\n{}\n{\"b\":2}\n"
        );
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        assert_eq!(
            LineSink::create(&path).unwrap_err().kind(),
            ErrorKind::Config
        );
        assert_eq!(
            LineSink::create(folder.path()).unwrap_err().kind(),
            ErrorKind::Config
        );
        assert!(LineSink::create(folder.path().join("no/such")).is_err());
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_link_that_dangles_is_not_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let (link, target) = (folder.path().join("link"), folder.path().join("target"));
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert!(LineSink::create(&link).is_err());
        assert!(!target.exists());
    }

    /// Takes so many bytes and then fails.
    struct Full(usize);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let taken = bytes.len().min(self.0);
            self.0 -= taken;
            Ok(taken)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_stream_that_fails_within_a_line_takes_nothing_more() {
        let sink = LineSink::writer(Full(10));
        assert!(sink.deliver(&batch(&["{\"a\":1}"])).await.is_ok());
        let full = sink.deliver(&batch(&["{\"b\":2}"])).await.unwrap_err();
        assert!(!full.is_retryable(), "{full}");
        assert!(sink.deliver(&batch(&["{}"])).await.is_err());
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_full_device_is_a_final_error() {
        let sink = LineSink::create("/dev/full").unwrap();
        let error = sink.deliver(&batch(&["{}"])).await.unwrap_err();
        assert!(!error.is_retryable(), "{error}");
        assert!(
            LineSink::create("/dev/null")
                .unwrap()
                .deliver(&batch(&["{}"]))
                .await
                .is_ok()
        );
    }
}
