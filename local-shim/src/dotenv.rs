//! Reads the file `.env` of the current directory.

use std::{
    fs::File,
    io::{self, Cursor, Read},
    os::unix::fs::MetadataExt,
    path::Path,
};

use anyhow::{Context, Result, bail};

/// Sets the variables of the file `.env` in this directory, except those that the environment has already, and returns their names.
/// Without such a file, nothing happens. The file of another user is not used, since it could choose which programs run with this user's
/// rights: a line on standard error says so.
///
/// # Errors
/// Names the file and the line that cannot be read.
pub fn load(directory: &Path) -> Result<Vec<String>> {
    let path = directory.join(".env");
    let text = match read_own(&path) {
        Ok(None) => {
            eprintln!("local-shim: {} belongs to another user of this machine, and is ignored", path.display());
            return Ok(Vec::new());
        }
        Ok(Some(bytes)) => String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8", path.display()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
    };
    let variables = parse(&text).with_context(|| format!("{} cannot be read", path.display()))?;
    let is_new = |name: &&String| std::env::var_os(name).is_none();
    let names = variables.iter().map(|(name, _)| name).filter(is_new).cloned().collect();
    // The library that sets the variables reads only some forms of a value, so every value is given to it in one form.
    let quote = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$").replace('\n', "\\n");
    let lines: String = variables.iter().map(|(name, value)| format!("{name}=\"{}\"\n", quote(value))).collect();
    dotenvy::from_read(Cursor::new(lines)).with_context(|| format!("{} cannot be used", path.display()))?;
    Ok(names)
}

/// The bytes of a file, or `None` if it or the link to it belongs to another user.
fn read_own(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let user = rustix::process::geteuid().as_raw();
    let mut file = File::open(path)?;
    // The owner of a link chooses where it leads.
    if file.metadata()?.uid() != user || path.symlink_metadata()?.uid() != user {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Reads lines `NAME=value`, with or without `export` in front. A value may be in single or double quotes. One without quotes ends
/// at the end of the line, or before a blank and `#`; blanks around it are not a part of it.
fn parse(text: &str) -> Result<Vec<(String, String)>> {
    let mut variables = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let number = number + 1;
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((name, value)) = line.split_once('=') else { bail!("line {number} has no `=`: it wants NAME=value") };
        let name = name.trim();
        let is_name = !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !name.starts_with(|first: char| first.is_ascii_digit());
        if !is_name {
            bail!("line {number}: {name:?} is not the name of a variable");
        }
        let value = read_value(value.trim()).with_context(|| format!("line {number}: the value of {name}"))?;
        variables.push((name.to_owned(), value));
    }
    Ok(variables)
}

fn read_value(value: &str) -> Result<String> {
    let rest_is_comment = |rest: &str| rest.trim().is_empty() || rest.trim_start().starts_with('#');
    if let Some(quoted) = value.strip_prefix('\'') {
        return match quoted.split_once('\'') {
            Some((text, rest)) if rest_is_comment(rest) => Ok(text.to_owned()),
            _ => bail!("has no closing quote at its end"),
        };
    }
    if let Some(quoted) = value.strip_prefix('"') {
        let mut text = String::new();
        let mut characters = quoted.chars();
        while let Some(c) = characters.next() {
            match c {
                '"' if rest_is_comment(characters.as_str()) => return Ok(text),
                '"' => bail!("goes on after its closing quote"),
                '\\' => match characters.next() {
                    Some('n') => text.push('\n'),
                    Some(escaped @ ('"' | '\\' | '$' | '`')) => text.push(escaped),
                    Some(other) => text.extend(['\\', other]),
                    None => break,
                },
                c => text.push(c),
            }
        }
        bail!("has no closing quote");
    }
    let end = value.find(" #").or_else(|| value.find("\t#")).unwrap_or(value.len());
    Ok(value[..end].trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_with_and_without_quotes() {
        let text = "# a comment\n\nA=1 \n export B = two words  \nC='it is # $HOME' # c\nD=\"say \\\"hi\\\" \\$x\"\nE={\"a\": \"b\"}\nF=\nG=x#y\nH=z # end\r\n";
        let read = parse(text).unwrap();
        let expected = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "it is # $HOME"),
            ("D", "say \"hi\" $x"),
            ("E", "{\"a\": \"b\"}"),
            ("F", ""),
            ("G", "x#y"),
            ("H", "z"),
        ];
        assert_eq!(read, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named() {
        for (text, wanted) in [
            ("A=1\nnot a setting", "line 2"),
            ("1A=x", "line 1"),
            ("A='x", "line 1"),
            ("A=\"x\ny\"", "line 1"),
            ("A=\"x\" y", "line 1"),
        ] {
            let error = format!("{:#}", parse(text).unwrap_err());
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}
