//! What `TMV1-Query` and `TMV1-Filter` have in common.

use ctforward_core::{Error, ErrorKind, Result};

use super::ORIGIN;

/// A selecting text that a header may hold, and of no more than `most` characters.
pub(super) fn checked(text: String, most: usize, name: &str) -> Result<String> {
    let wrong = |what: String| Err(Error::new(ErrorKind::Config, ORIGIN, what));
    if text.trim().is_empty() {
        return wrong(format!("the {name} is empty"));
    }
    // It is ASCII by now or refused below, so bytes are characters.
    if text.len() > most {
        return wrong(format!(
            "the {name} has {} characters, and the service takes {most}; ask for less at a time",
            text.len()
        ));
    }
    if !text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
        return wrong(format!(
            "the {name} holds a character other than visible ASCII and the blank; how the service \
             would take it is not documented"
        ));
    }
    Ok(text)
}

/// The name of a field.
pub(super) fn field(name: &str) -> Result<&str> {
    let fits = name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.');
    if fits {
        return Ok(name);
    }
    Err(Error::new(
        ErrorKind::Config,
        ORIGIN,
        "a field's name begins with a letter and holds letters, digits, _ and .",
    ))
}
