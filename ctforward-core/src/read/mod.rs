//! Reading log files.
