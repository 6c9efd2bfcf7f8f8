//! Standard output.

/// A line on standard output. Where its reader went away (`| head`) nobody is
/// left to be told; the exit status still says how it went.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}
