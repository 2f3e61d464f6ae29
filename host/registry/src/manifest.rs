//! What a manifest says, and whether it is the manifest of a plugin.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::digest::Digest;
use crate::error::PullError;

/// In bytes: what registries take at most, and far more than a manifest of one layer needs.
pub const MANIFEST_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The kinds that can be told apart. Indexes are asked for to be able to say that there is one.
pub(crate) const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json";

/// The layer types of a component: the present one, and the one before it.
const COMPONENT_TYPES: [&str; 2] = ["application/wasm", "application/vnd.wasm.content.layer.v1+wasm"];

/// In characters: what a message repeats of a text that others wrote.
const QUOTE_CHARS_MAX: usize = 100;

/// How many layers a message names.
const NAMED_LAYERS_MAX: usize = 4;

/// The layer that is the component.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Layer {
    pub(crate) digest: Digest,
    /// In bytes.
    pub(crate) size: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    /// Of an artifact or image.
    layers: Option<Vec<Descriptor>>,
    /// Of an index.
    manifests: Option<Vec<IgnoredAny>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    size: u64,
}

/// The one layer of a plugin's manifest. The configuration beside it describes the component for people and tools, who
/// may as well look into the component; it is not fetched, and its type is not judged.
pub(crate) fn component_layer(body: &[u8]) -> Result<Layer, PullError> {
    let wrong = |found: String| PullError::WrongKind { found };
    let manifest: Manifest = serde_json::from_slice(body)
        .map_err(|_| wrong("something whose manifest is not in a known format".to_owned()))?;
    if let Some(manifests) = manifest.manifests {
        return Err(wrong(format!("an image index of {} manifests", manifests.len())));
    }
    let layers = manifest.layers.ok_or_else(|| wrong("something whose manifest lists no layers".to_owned()))?;
    let [layer] = layers.as_slice() else {
        return Err(wrong(listed(&layers)));
    };
    if !COMPONENT_TYPES.contains(&layer.media_type.as_str()) {
        return Err(wrong(format!("an artifact whose layer is `{}`", quote(&layer.media_type))));
    }
    let digest = Digest::parse(&layer.digest)
        .ok_or_else(|| wrong(format!("a component whose digest is not SHA-256: `{}`", quote(&layer.digest))))?;
    Ok(Layer { digest, size: layer.size })
}

fn listed(layers: &[Descriptor]) -> String {
    if layers.is_empty() {
        return "an artifact without layers".to_owned();
    }
    let named = layers.iter().take(NAMED_LAYERS_MAX).map(|layer| format!("`{}`", quote(&layer.media_type)));
    let more = if layers.len() > NAMED_LAYERS_MAX { ", …" } else { "" };
    format!("an artifact of {} layers ({}{more})", layers.len(), named.collect::<Vec<_>>().join(", "))
}

/// A text of others, fit for a message.
fn quote(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(QUOTE_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn layer(media_type: &str) -> serde_json::Value {
        json!({ "mediaType": media_type, "digest": Digest::of(b"x").as_str(), "size": 1 })
    }

    fn found(manifest: &serde_json::Value) -> String {
        match component_layer(manifest.to_string().as_bytes()).unwrap_err() {
            PullError::WrongKind { found } => found,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn both_layouts_of_components_are_plugins() {
        for kind in COMPONENT_TYPES {
            let manifest = json!({ "schemaVersion": 2, "config": {}, "layers": [layer(kind)] });
            let expected = Layer { digest: Digest::of(b"x"), size: 1 };
            assert_eq!(component_layer(manifest.to_string().as_bytes()).unwrap(), expected);
        }
    }

    #[test]
    fn what_is_no_plugin_is_named() {
        let gzip = "application/vnd.oci.image.layer.v1.tar+gzip";
        assert_eq!(found(&json!({ "manifests": [{}, {}] })), "an image index of 2 manifests");
        assert_eq!(found(&json!({ "layers": [] })), "an artifact without layers");
        assert_eq!(found(&json!({ "layers": [layer(gzip)] })), format!("an artifact whose layer is `{gzip}`"));
        assert_eq!(
            found(&json!({ "layers": [layer("application/wasm"), layer("text/plain")] })),
            "an artifact of 2 layers (`application/wasm`, `text/plain`)"
        );
        assert!(found(&json!({ "layers": vec![layer("a"); 9] })).ends_with("9 layers (`a`, `a`, `a`, `a`, …)"));
        assert_eq!(found(&json!({ "fsLayers": [] })), "something whose manifest lists no layers");
        assert_eq!(found(&json!([1])), "something whose manifest is not in a known format");
        let odd = json!({ "mediaType": "application/wasm", "digest": "md5:abc\n", "size": 1 });
        assert_eq!(found(&json!({ "layers": [odd] })), "a component whose digest is not SHA-256: `md5:abc`");
    }
}
