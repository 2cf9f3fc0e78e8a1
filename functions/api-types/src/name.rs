//! Checks the names of resources that are a part of a URL's path.

use crate::Problem;

/// A name that may be a part of a URL's path: 1 to `most` letters, digits, dots, hyphens and underscores, and not `.` or `..`, which
/// clients remove from a path.
///
/// # Errors
/// Any other text, at the field `name`.
pub(crate) fn checked(name: &str, most: usize) -> Result<String, Problem> {
    let well_formed =
        (1..=most).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if well_formed && ![".", ".."].contains(&name) {
        return Ok(name.to_owned());
    }
    let problem =
        format!("name must be 1 to {most} letters, digits, dots, hyphens or underscores, and not just `.` or `..`");
    Err(Problem::new(problem).at_field("name"))
}
