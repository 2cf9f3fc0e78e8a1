//! Parses names of images: registry, name, and tag or digest.

use std::fmt;

use crate::{Error, Result};

/// The registry of an image that names none.
const DEFAULT_REGISTRY: &str = "docker.io";
/// The namespace of Docker Hub's official images, which users leave out.
const OFFICIAL: &str = "library/";
/// Characters of the whole name, with registry, tag and digest. ECS takes 255 ("ContainerDefinition", `image`).
const MAX_LENGTH: usize = 255;

/// The name of an image. Crates that parse such names neither know the rules of ECS nor say which part is wrong.
/// It is split as Docker splits it ("docker image pull": `[HOST[:PORT]/]NAME[:TAG][@DIGEST]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    pub registry: String,
    /// Without the registry, and for Docker Hub's official images without `library/`.
    pub name: String,
    pub tag: Option<String>,
    /// `sha256:` and 64 hex digits.
    pub digest: Option<String>,
}

impl Reference {
    /// # Errors
    /// [`Error::Invalid`], saying which part of the name is wrong.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |why: &str| Error::invalid(format!("image {text:?} is not an image name: {why}")).at_field("image");
        if text.is_empty() || text.len() > MAX_LENGTH {
            return Err(bad("it must have 1 to 255 characters"));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                let hex = digest.strip_prefix("sha256:").unwrap_or_default();
                if hex.len() != 64 || !hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
                    return Err(bad("a digest is sha256: and 64 lower-case hex digits"));
                }
                (rest, Some(digest.to_owned()))
            }
            None => (text, None),
        };
        // A colon after the last slash starts a tag; one before it belongs to the registry's port.
        let (path, tag) = match rest.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => {
                let well_formed = (1..=128).contains(&tag.len())
                    && !tag.starts_with(['.', '-'])
                    && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
                if !well_formed {
                    return Err(bad("a tag is 1 to 128 letters, digits, _ . -"));
                }
                (path, Some(tag.to_owned()))
            }
            _ => (rest, None),
        };
        let (registry, name) = match path.split_once('/') {
            Some((host, name)) if host.contains(['.', ':']) || host == "localhost" => {
                if !is_host(host) {
                    return Err(bad("its registry is not a host name"));
                }
                (host, name)
            }
            _ => (DEFAULT_REGISTRY, path),
        };
        let registry = if registry == "index.docker.io" { DEFAULT_REGISTRY } else { registry };
        if !name.split('/').all(is_path_component) {
            return Err(bad("a name is lower-case letters and digits, separated by one of . _ __ / or by dashes"));
        }
        let name = match name.strip_prefix(OFFICIAL) {
            Some(official) if registry == DEFAULT_REGISTRY && !official.contains('/') => official,
            _ => name,
        };
        let tag = tag.or_else(|| digest.is_none().then(|| "latest".to_owned()));
        let reference = Self { registry: registry.to_owned(), name: name.to_owned(), tag, digest };
        if reference.pullable().len() > MAX_LENGTH {
            return Err(bad("with the tag `latest`, which it has without another, it has more than 255 characters"));
        }
        Ok(reference)
    }

    /// Tells whether the text that this was parsed from says the registry.
    pub(super) fn names_registry(&self, text: &str) -> bool {
        self.registry != DEFAULT_REGISTRY || text.starts_with("docker.io/") || text.starts_with("index.docker.io/")
    }

    /// The tag, or the first digits of the digest written as a tag (`sha256-` and 12 digits).
    pub(super) fn tag_or_digest(&self) -> String {
        match (&self.tag, &self.digest) {
            (Some(tag), _) => tag.clone(),
            (None, Some(digest)) => digest.replace(':', "-").chars().take("sha256-".len() + 12).collect(),
            (None, None) => "latest".to_owned(),
        }
    }

    /// The name by which ECS pulls the image: without the registry for Docker Hub, with it for others.
    pub(super) fn pullable(&self) -> String {
        match self.to_string().strip_prefix("docker.io/") {
            Some(hub) => hub.to_owned(),
            None => self.to_string(),
        }
    }
}

/// Shows registry, name, tag and digest in full.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.name)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

fn is_host(host: &str) -> bool {
    let (name, port) = match host.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (host, None),
    };
    port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
        && name.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
}

/// Tells whether a text is `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*` ("OCI Distribution Specification", Pulling manifests).
fn is_path_component(component: &str) -> bool {
    let is_alphanumeric = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit();
    let is_separator =
        |text: &str| matches!(text, "" | "." | "_" | "__") || text.bytes().all(|character| character == b'-');
    component.starts_with(is_alphanumeric)
        && component.ends_with(is_alphanumeric)
        && component.split(is_alphanumeric).all(is_separator)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (String, String, Option<String>, Option<String>) {
        let Reference { registry, name, tag, digest } = Reference::parse(text).unwrap();
        (registry, name, tag, digest)
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn names_are_taken_apart_as_docker_does() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let cases = [
            ("ubuntu", ("docker.io", "ubuntu", some("latest"), None)),
            ("ubuntu:22.04", ("docker.io", "ubuntu", some("22.04"), None)),
            ("library/ubuntu:22.04", ("docker.io", "ubuntu", some("22.04"), None)),
            ("docker.io/library/ubuntu:22.04", ("docker.io", "ubuntu", some("22.04"), None)),
            ("ghcr.io/a/b:c", ("ghcr.io", "a/b", some("c"), None)),
            ("localhost:5000/x", ("localhost:5000", "x", some("latest"), None)),
            ("localhost/x:1", ("localhost", "x", some("1"), None)),
            ("a/b", ("docker.io", "a/b", some("latest"), None)),
            ("a__b/c--d.e_f", ("docker.io", "a__b/c--d.e_f", some("latest"), None)),
            (
                "public.ecr.aws/docker/library/ubuntu:22.04",
                ("public.ecr.aws", "docker/library/ubuntu", some("22.04"), None),
            ),
        ];
        for (text, (registry, name, tag, digest)) in cases {
            assert_eq!(parts(text), (registry.to_owned(), name.to_owned(), tag, digest), "{text}");
        }
        assert_eq!(parts(&format!("x@{digest}")), ("docker.io".into(), "x".into(), None, Some(digest.clone())));
        assert_eq!(parts(&format!("x:1@{digest}")), ("docker.io".into(), "x".into(), some("1"), Some(digest)));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = "a".repeat(256);
        let too_long_with_its_tag = "a".repeat(249);
        for bad in [
            "",
            " ",
            "Ubuntu",
            "ubuntu:",
            "ubuntu:-x",
            "a//b",
            "/a",
            "a/",
            "x@sha256:abc",
            "x@md5:1",
            "a b",
            "$(id)",
            "ex_ample.com:x/y",
            "host.com:99999/x",
            "x\n",
            "-x",
            "x-",
            "a___b",
            "a..b",
            "a.-b",
            "a_.b/c",
            "ä",
            &long,
            &too_long_with_its_tag,
        ] {
            assert!(Reference::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_pulled_names_the_registry_unless_it_is_docker_hub() {
        assert_eq!(Reference::parse("docker.io/library/ubuntu:22.04").unwrap().pullable(), "ubuntu:22.04");
        assert_eq!(Reference::parse("ghcr.io/a/b").unwrap().pullable(), "ghcr.io/a/b:latest");
    }
}
