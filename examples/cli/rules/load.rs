//! Reading rules files.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use ctforward_core::stage::Rules;
use ctforward_core::text::printable;

/// More than a rules file may have: such a one is refused by its size, not read.
const MOST: u64 = (1 << 20) + 1;

/// The rules of a file, or a line for each thing that is wrong, with the file's name.
pub fn load(path: &Path) -> Result<Rules, Vec<String>> {
    let name = name(path);
    let wrong = |message: String| vec![format!("{name}: {message}")];
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MOST).read_to_end(&mut bytes))
        .map_err(|error| wrong(error.to_string()))?;
    let json = path
        .extension()
        .is_some_and(|end| end.eq_ignore_ascii_case("json"));
    let read = if json {
        Rules::from_json(&bytes)
    } else {
        match std::str::from_utf8(&bytes) {
            Ok(text) => Rules::from_yaml(text),
            // It may have been cut within a character, for being too large.
            Err(_) if bytes.len() as u64 == MOST => Rules::from_json(&bytes),
            Err(_) => return Err(wrong("not in UTF-8".to_owned())),
        }
    };
    read.map_err(|problems| {
        let lines = problems.iter().map(|problem| format!("{name}: {problem}"));
        lines.collect()
    })
}

/// The file's name, safe to print.
pub fn name(path: &Path) -> String {
    printable(&path.to_string_lossy()).into_owned()
}
