use std::fmt;

use ctforward_core::text::printable;

/// Where a setting stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this line of the file.
    Line(usize),
    /// In the file, or missing from it.
    File,
    /// In this environment variable.
    Variable(String),
}

/// Something that is wrong with a setting.
#[derive(Clone, Debug)]
pub struct Problem {
    place: Place,
    key: String,
    what: String,
}

/// Everything that is wrong with the settings.
#[derive(Clone, Debug)]
pub struct Problems {
    file: String,
    list: Vec<Problem>,
}

impl Problems {
    /// None so far, in the file of this name.
    pub fn of(file: &str) -> Self {
        Self {
            file: file.to_owned(),
            list: Vec::new(),
        }
    }

    /// One more; `what` says what is allowed.
    pub fn add(&mut self, place: Place, key: &str, what: impl Into<String>) {
        let (key, what) = (key.to_owned(), what.into());
        self.list.push(Problem { place, key, what });
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// A line each, in the order of the file, and what is of the environment last.
    pub fn lines(&self) -> Vec<String> {
        let mut list: Vec<_> = self.list.iter().collect();
        list.sort_by_key(|problem| match &problem.place {
            Place::Line(line) => (0, *line),
            Place::File => (1, 0),
            Place::Variable(_) => (2, 0),
        });
        let line = |problem: &&Problem| {
            let place = match &problem.place {
                Place::Line(line) => format!("{}:{line}", self.file),
                Place::File => self.file.clone(),
                Place::Variable(name) => format!("environment variable {name}"),
            };
            let key = match problem.key.as_str() {
                "" => String::new(),
                key => format!("{key}: "),
            };
            printable(&format!("{place}: {key}{}", problem.what)).into_owned()
        };
        list.iter().map(line).collect()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().join("\n"))
    }
}
