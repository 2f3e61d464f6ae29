-- Who made a version, and the earlier one whose definition it took up again.
alter table workflow_versions add column created_by text;
alter table workflow_versions add column restored_from integer;
alter table workflow_versions
    add foreign key (workflow_id, restored_from) references workflow_versions (workflow_id, version);

-- SHA-256 of the newest version's definition. It stands in the row that a change locks, so that whether a definition is
-- another one is judged by what is newest then, and not by what was so when the statement began. Null in what a host of the
-- version before this one makes while others are brought up to date.
alter table workflows add column definition_digest bytea;
update workflows w set definition_digest = sha256(convert_to(v.definition, 'UTF8'))
from workflow_versions v where v.workflow_id = w.id and v.version = w.version;
