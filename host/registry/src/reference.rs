//! The name of a plugin in a registry: `registry/name[:tag][@sha256:…]`.

use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;
use crate::host::is_authority;

/// In bytes: a host, a name of 255, a tag and a digest fit.
pub const REFERENCE_BYTES_MAX: usize = 1024;

/// In bytes; the bound that registries set.
const NAME_BYTES_MAX: usize = 255;

/// In bytes; the bound of the distribution specification.
const TAG_BYTES_MAX: usize = 128;

/// Where the name says neither tag nor digest.
const DEFAULT_TAG: &str = "latest";

/// Which plugin of which registry. Unlike on the command line of container tools, the registry is always said: a server
/// must not look elsewhere than its operator thinks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    registry: String,
    name: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// A text that is no reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{reason}; a reference looks like `registry.example/team/plugin:1.0` or `registry.example/team/plugin@sha256:…`"
)]
pub struct BadReference {
    /// What is wrong, as the beginning of a sentence.
    pub reason: &'static str,
}

impl Reference {
    /// The registry's `host` or `host:port`, as the reference says it.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The name within the registry.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The manifest's digest, where the reference names one; `sha256:…`.
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_ref().map(Digest::as_str)
    }

    /// The host that serves the registry: one well-known registry is served by another host than its name says.
    pub(crate) fn endpoint(&self) -> &str {
        if self.registry == "docker.io" { "registry-1.docker.io" } else { &self.registry }
    }

    /// What the manifest is asked for by: the digest where there is one, since it cannot change its meaning.
    pub(crate) fn wanted(&self) -> &str {
        self.digest().or(self.tag.as_deref()).unwrap_or(DEFAULT_TAG)
    }

    pub(crate) fn pinned(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same plugin, named by what it is and not by a tag.
    pub(crate) fn pin(&self, digest: &Digest) -> Self {
        Self { tag: None, digest: Some(digest.clone()), ..self.clone() }
    }
}

impl FromStr for Reference {
    type Err = BadReference;

    fn from_str(text: &str) -> Result<Self, BadReference> {
        let bad = |reason| BadReference { reason };
        if text.len() > REFERENCE_BYTES_MAX {
            return Err(bad("The reference is too long"));
        }
        if text.contains("://") {
            return Err(bad("The reference starts with a scheme, which it does not need"));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                let digest = Digest::parse(digest);
                (rest, Some(digest.ok_or(bad("The digest is not `sha256:` and 64 lower-case hexadecimal digits"))?))
            }
            None => (text, None),
        };
        let (registry, path) = rest.split_once('/').ok_or(bad("The reference names no registry"))?;
        // Without such a sign the first part is a folder in the name, as container tools read it.
        if !(registry.contains(['.', ':']) || registry == "localhost") {
            return Err(bad("The reference names no registry"));
        }
        let registry = registry.to_ascii_lowercase();
        if !is_authority(&registry) {
            return Err(bad("The registry is not a host, or host and port"));
        }
        let (name, tag) = match path.split_once(':') {
            Some((name, tag)) => (name, Some(tag)),
            None => (path, None),
        };
        if name.len() > NAME_BYTES_MAX || !name.split('/').all(is_component) {
            return Err(bad("The name holds something other than lower-case letters, digits and single separators"));
        }
        if !tag.is_none_or(is_tag) {
            return Err(bad("The tag holds something other than letters, digits, `.`, `_` and `-`, or is too long"));
        }
        Ok(Self { registry, name: name.to_owned(), tag: tag.map(str::to_owned), digest })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.name)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

/// Letters and digits, parted by `.`, `_`, `__` or any number of `-`.
fn is_component(text: &str) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends_in_words = bytes.first().is_some_and(is_word) && bytes.last().is_some_and(is_word);
    let mut separators = bytes.split(is_word).filter(|separator| !separator.is_empty());
    ends_in_words
        && separators
            .all(|separator| matches!(separator, b"." | b"_" | b"__") || separator.iter().all(|&byte| byte == b'-'))
}

fn is_tag(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= TAG_BYTES_MAX
        && text.bytes().next().is_some_and(is_word)
        && text.bytes().all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_reference_names_registry_name_tag_and_digest() {
        let text = format!("Registry.example:5000/team/sub__dir/plug-in.x:1.0-rc@sha256:{HEX}");
        let reference: Reference = text.parse().unwrap();
        assert_eq!(reference.registry(), "registry.example:5000");
        assert_eq!(reference.name(), "team/sub__dir/plug-in.x");
        assert_eq!(reference.wanted(), format!("sha256:{HEX}"));
        assert_eq!(reference.to_string(), text.to_lowercase());
        assert_eq!(
            reference.pin(&Digest::of(b"")).to_string(),
            format!("registry.example:5000/team/sub__dir/plug-in.x@sha256:{HEX}")
        );
    }

    #[test]
    fn without_tag_and_digest_the_latest_is_meant() {
        for registry in ["ghcr.io", "localhost", "127.0.0.1:5000", "[::1]:5000", "registry:80", "registry:443"] {
            let reference: Reference = format!("{registry}/slug").parse().unwrap();
            assert_eq!((reference.registry(), reference.wanted()), (registry, "latest"));
        }
    }

    #[test]
    fn what_is_no_reference_is_refused_with_its_reason() {
        for (text, reason) in [
            ("", "no registry"),
            ("slug", "no registry"),
            ("team/slug:1", "no registry"),
            ("https://ghcr.io/slug", "scheme"),
            ("oci://ghcr.io/slug", "scheme"),
            ("user:secret@ghcr.io/slug", "digest"),
            ("ghcr.io/slug@sha256:abc", "digest"),
            ("0x7f.1/slug", "registry is not"),
            ("127.1:5000/slug", "registry is not"),
            ("ghcr.io:/slug", "registry is not"),
            ("ghcr.io:x/slug", "registry is not"),
            ("gh?cr.io/slug", "registry is not"),
            ("ghcr.io/", "name holds"),
            ("ghcr.io/Slug", "name holds"),
            ("ghcr.io/a//b", "name holds"),
            ("ghcr.io/a/../b", "name holds"),
            ("ghcr.io/a..b", "name holds"),
            ("ghcr.io/a%2fb", "name holds"),
            ("ghcr.io/slug?x=1", "name holds"),
            ("ghcr.io/slug:", "tag holds"),
            ("ghcr.io/slug:.x", "tag holds"),
            ("ghcr.io/slug:a/b", "tag holds"),
            ("ghcr.io/slug:ä", "tag holds"),
        ] {
            let bad = text.parse::<Reference>().unwrap_err();
            assert!(bad.reason.contains(reason), "{text}: {bad}");
        }
        assert!(format!("ghcr.io/{}", "a".repeat(REFERENCE_BYTES_MAX)).parse::<Reference>().is_err());
        assert!(format!("ghcr.io/a:{}", "a".repeat(129)).parse::<Reference>().is_err());
    }
}
