//! The commands that restore archived objects: the first ones to show, all to a file.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use ctforward_core::text::printable;

use crate::failure::Failure;

/// Commands that a plan shows.
const SHOWN: usize = 3;

pub struct RestoreCommands {
    first: Vec<String>,
    file: Option<(String, BufWriter<File>)>,
}

impl RestoreCommands {
    /// Makes the file at once: a name that cannot be is found before anything is listed.
    pub fn new(path: Option<&Path>) -> Result<Self, Failure> {
        let mut commands = Self {
            first: Vec::new(),
            file: None,
        };
        if let Some(path) = path {
            let name = printable(&path.to_string_lossy()).into_owned();
            let mut options = OpenOptions::new();
            // Neither a file that is there nor a symbolic link is written to.
            options.write(true).create_new(true);
            #[cfg(unix)]
            {
                use std::os::unix::fs::OpenOptionsExt as _;
                options.mode(0o600);
            }
            let file = options
                .open(path)
                .map_err(|error| Failure::usage(format!("--plan-restore-file {name}: {error}")))?;
            commands.file = Some((name, BufWriter::new(file)));
        }
        Ok(commands)
    }

    pub fn add(&mut self, command: String) -> io::Result<()> {
        if let Some((_, file)) = &mut self.file {
            writeln!(file, "{command}")?;
        }
        if self.first.len() < SHOWN {
            self.first.push(command);
        }
        Ok(())
    }

    /// Writes what is held back.
    pub fn end(&mut self) -> Result<(), Failure> {
        match self.file.as_mut().map(|(_, file)| file.flush()) {
            Some(Err(error)) => Err(self.failed(&error)),
            _ => Ok(()),
        }
    }

    pub fn failed(&self, error: &io::Error) -> Failure {
        let name = self.file.as_ref().map_or("", |(name, _)| name);
        Failure::work(format!("--plan-restore-file {name}: {error}"))
    }

    pub fn first(self) -> Vec<String> {
        self.first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_go_to_a_new_file_and_few_are_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("restore.sh");
        let mut commands = RestoreCommands::new(Some(&path)).unwrap();
        for n in 0..10 {
            commands.add(format!("aws {n}")).unwrap();
        }
        commands.end().unwrap();
        assert_eq!(commands.first(), ["aws 0", "aws 1", "aws 2"]);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 10);
        assert!(RestoreCommands::new(Some(&path)).is_err(), "it is there");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}
