//! What a text includes, looked up as deep as it goes.

use std::collections::HashSet;

use armilla_domain::fault::Fault;
use armilla_domain::id::WorkspaceId;
use armilla_domain::prompt::{INCLUDE_DEPTH_MAX, INCLUDES_MAX, Library, Part, Reference, check_prompt, references};
use armilla_store::{StoreError, TemplatePartRow};

use crate::host::Host;
use crate::{CommandError, Engine};

impl Host {
    /// Everything that a text includes. A text without includes asks nothing; each level of them asks once.
    pub(crate) async fn prompt_library(&self, workspace: WorkspaceId, source: &str) -> Result<Library, StoreError> {
        let mut library = Library::default();
        let mut seen = HashSet::new();
        // What is malformed is found out where it is put together.
        let mut wanted = references(source).unwrap_or_default();
        for _ in 0..=INCLUDE_DEPTH_MAX {
            wanted.retain(|reference| seen.insert(reference.clone()));
            if wanted.is_empty() {
                break;
            }
            if seen.len() > INCLUDES_MAX {
                library.cut_short();
                break;
            }
            let mut next = Vec::new();
            for (reference, part) in self.parts(workspace, &wanted).await? {
                next.extend(references(&part.template).unwrap_or_default());
                library.add(reference, part);
            }
            wanted = next;
        }
        Ok(library)
    }

    async fn parts(&self, workspace: WorkspaceId, wanted: &[Reference]) -> Result<Vec<(Reference, Part)>, StoreError> {
        let (mut names, mut pinned_names, mut pinned_versions) = (Vec::new(), Vec::new(), Vec::new());
        for reference in wanted {
            match reference.version {
                None => names.push(reference.name.clone()),
                Some(version) => {
                    pinned_names.push(reference.name.clone());
                    pinned_versions.push(version);
                }
            }
        }
        let rows = self.store.template_parts(workspace, &names, &pinned_names, &pinned_versions).await?;
        let parts = rows.into_iter().map(|(row, is_pinned)| {
            let TemplatePartRow { name, version, template, variables } = row;
            let variables = serde_json::from_str(&variables)
                .map_err(|error| StoreError::Corrupt(format!("the prompt template `{name}`: {error}")))?;
            let reference = Reference { name: name.clone(), version: is_pinned.then_some(version) };
            Ok((reference, Part { name, version, template, variables }))
        });
        parts.collect()
    }
}

impl Engine {
    /// What is wrong with an agent's prompt, where something is.
    pub(crate) async fn prompt_fault(
        &self,
        workspace: WorkspaceId,
        source: &str,
        place: &str,
    ) -> Result<Option<Fault>, CommandError> {
        let library = self.host.prompt_library(workspace, source).await?;
        Ok(check_prompt(&self.host.templates, source, &library, place).err())
    }
}
