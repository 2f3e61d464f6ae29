//! Settings: the command line before the environment before the file before the defaults, checked together at start.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use armilla_api::auth::{AuthConfig, AuthConfigError, Secret};
use armilla_domain::agent::{TOKEN_PRICE_MAX, TokenPrice};
use armilla_domain::duration::parse_duration;
use armilla_egress::IpNet;
use armilla_engine::{LEASE_MIN, RunLimits, SealingKey, SealingKeyError};
use armilla_registry::signature::TrustedKeys;
use clap::Args;
use serde::Deserialize;

use crate::keys::{KeyError, Keys};

/// Bytes of a configuration file; a real one has a few hundred.
const CONFIG_BYTES_MAX: u64 = 64 * 1024;
/// The most that one output may ever weigh: several are held in memory at once, and a journal holds 32 MiB.
const STEP_OUTPUT_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// The engine's bound, for a message.
const LEASE_SECONDS_MIN: u64 = LEASE_MIN.as_secs();
const LISTEN_DEFAULT: &str = "127.0.0.1:3000";
/// What tokens say of who made them and whom they are for, where nobody sets it.
const ISSUER_DEFAULT: &str = "armilla";
/// Clocks of machines that run NTP differ by less.
const TOKEN_LEEWAY: Duration = Duration::from_secs(30);

/// Settings as the command line and the environment give them.
#[derive(Debug, Clone, Default, Args)]
pub struct Given {
    /// Address to serve on; port 0 takes a free one [default: 127.0.0.1:3000]
    #[arg(long, env = "ARMILLA_LISTEN", value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,

    #[command(flatten)]
    #[expect(missing_docs, reason = "clap shows the fields in its place")]
    pub place: Place,

    /// Postgres to use, 14 or newer, instead of a private one in the data folder; DATABASE_URL means the same
    #[arg(long, env = "ARMILLA_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,

    /// Folder whose *.wasm are loaded, at start and as they appear [default: `plugins` in the data folder]
    #[arg(long, env = "ARMILLA_PLUGINS", value_name = "DIR")]
    pub plugins: Option<PathBuf>,

    /// File of pipeline templates, read again when it changes [default: those that Armilla brings]
    #[arg(long, env = "ARMILLA_PIPELINE_TEMPLATES", value_name = "FILE")]
    pub pipeline_templates: Option<PathBuf>,

    /// Private networks that may be reached, such as 127.0.0.0/8 for this machine; none by default
    #[arg(long, env = "ARMILLA_EGRESS_ALLOW", value_name = "CIDR", value_delimiter = ',')]
    pub egress_allow: Option<Vec<IpNet>>,

    /// Keys whose signatures of plugins count, each as `name:base64`
    #[arg(long = "plugin-key", env = "ARMILLA_PLUGIN_KEYS", value_name = "KEY", value_delimiter = ',')]
    pub plugin_keys: Option<Vec<String>>,

    /// Refuse plugins that no such key signed
    #[arg(long, env = "ARMILLA_REQUIRE_PLUGIN_SIGNATURE", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub require_plugin_signature: Option<bool>,

    /// Registries that plugins may be fetched from, such as registry.example.com; any by default
    #[arg(long = "registry", env = "ARMILLA_REGISTRIES", value_name = "HOST", value_delimiter = ',')]
    pub registries: Option<Vec<String>>,

    /// Registries that are spoken to without TLS, such as 127.0.0.1:5000
    #[arg(long = "insecure-registry", env = "ARMILLA_INSECURE_REGISTRIES", value_name = "HOST", value_delimiter = ',')]
    pub insecure_registries: Option<Vec<String>>,

    /// Bytes of the output of one step, as JSON [default: 1048576]
    #[arg(long, env = "ARMILLA_STEP_OUTPUT_MAX", value_name = "BYTES")]
    pub step_output_max: Option<u64>,

    /// How long ended runs are kept where their workflow does not say, such as `30d`; `0s` is for ever [default: 90d]
    #[arg(long, env = "ARMILLA_RETENTION", value_name = "DURATION", value_parser = parse_duration)]
    pub retention: Option<Duration>,

    /// Seconds after which a host that says nothing is taken for dead, at least 2 [default: 30]; for tests of many hosts
    #[arg(long, env = "ARMILLA_LEASE", value_name = "SECONDS", hide = true)]
    pub lease: Option<u64>,

    /// Folder of Postgres's programs for the private one, where the usual places are not meant
    #[arg(long, env = "ARMILLA_POSTGRES_BIN", value_name = "DIR")]
    pub postgres_bin: Option<PathBuf>,
}

/// Where the settings and the data are.
#[derive(Debug, Clone, Default, Args)]
pub struct Place {
    /// Folder for keys, compiled plugins and the private Postgres [default: armilla in ~/.local/share, /var/lib/armilla for root]
    #[arg(long, env = "ARMILLA_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// File with the same settings
    #[arg(long, env = "ARMILLA_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Settings as the file gives them.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    listen: Option<SocketAddr>,
    data_dir: Option<PathBuf>,
    database_url: Option<String>,
    plugins: Option<PathBuf>,
    pipeline_templates: Option<PathBuf>,
    egress_allow: Option<Vec<IpNet>>,
    postgres_bin: Option<PathBuf>,
    plugin_keys: Option<Vec<String>>,
    require_plugin_signature: Option<bool>,
    registries: Option<Vec<String>>,
    insecure_registries: Option<Vec<String>>,
    secrets_key: Option<String>,
    step_output_max: Option<u64>,
    #[serde(default, with = "armilla_domain::duration::optional")]
    retention: Option<Duration>,
    #[serde(default)]
    jwt: JwtFile,
    /// By the name of the model.
    #[serde(default)]
    prices: HashMap<String, PriceFile>,
}

/// US dollars for a million tokens of a model.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct PriceFile {
    input_per_million: f64,
    output_per_million: f64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct JwtFile {
    secret: Option<String>,
    previous_secret: Option<String>,
    issuer: Option<String>,
    audience: Option<String>,
}

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("the configuration {} cannot be read: {why}", .file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Nowhere to put anything.
    #[error("there is no home folder for the data: name one with --data-dir")]
    NoHome,
    /// The tokens' settings.
    #[error("the tokens' settings: {0}")]
    Auth(#[from] AuthConfigError),
    /// The keys in the data folder.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The key of secrets.
    #[error("the key of secrets: {0}")]
    Sealing(#[from] SealingKeyError),
    /// More than a step's output may ever weigh, or nothing.
    #[error("the output of a step can be bounded by 1 to {STEP_OUTPUT_BYTES_MAX} bytes, not by {0}")]
    StepOutput(u64),
    /// A lease that a busy moment would end.
    #[error("a lease has at least {LEASE_SECONDS_MIN} seconds, not {0}")]
    Lease(u64),
    /// What a model's tokens cost.
    #[error("the prices of `{0}`: US dollars for a million tokens, from 0 to {TOKEN_PRICE_MAX}")]
    Price(String),
    /// Keys of plugins.
    #[error("the keys of plugins: {0}")]
    PluginKeys(String),
}

/// Everything that was set, checked.
#[derive(Debug)]
pub struct Settings {
    /// Address to serve on.
    pub listen: SocketAddr,
    /// Folder for keys, compiled plugins and the private Postgres.
    pub data_dir: PathBuf,
    /// Postgres to use instead of a private one.
    pub database_url: Option<String>,
    /// Folder whose components are loaded at start.
    pub plugins: PathBuf,
    /// File of pipeline templates, instead of those that the program brings.
    pub pipeline_templates: Option<PathBuf>,
    /// Private networks that may be reached.
    pub egress_allow: Vec<IpNet>,
    /// Folder of Postgres's programs.
    pub postgres_bin: Option<PathBuf>,
    /// Keys whose signatures of plugins count.
    pub plugin_keys: TrustedKeys,
    /// Whether a plugin must carry one.
    pub require_plugin_signature: bool,
    /// Registries that plugins may be fetched from; any where empty.
    pub registries: Vec<String>,
    /// Registries that are spoken to without TLS.
    pub insecure_registries: Vec<String>,
    /// Seals secrets.
    pub sealing: SealingKey,
    /// What is decided about runs.
    pub limits: RunLimits,
    /// What tokens are judged by.
    pub auth: AuthConfig,
    /// What the data folder keeps.
    pub keys: Keys,
}

impl Settings {
    /// Puts everything together, and makes the keys where they are missing.
    ///
    /// # Errors
    /// Where a file cannot be read, or a setting makes no sense.
    pub fn read(given: Given) -> Result<Self, SettingsError> {
        let file = read_file(given.place.config.as_deref())?;
        let data_dir = data_dir(&given.place, &file)?;
        let keys = Keys::open(&data_dir)?;
        let database_url = given.database_url.or_else(|| environment("DATABASE_URL")).or(file.database_url);
        Ok(Self {
            listen: given
                .listen
                .or(file.listen)
                .unwrap_or_else(|| LISTEN_DEFAULT.parse().unwrap_or_else(|_| SocketAddr::from(([127, 0, 0, 1], 3000)))),
            plugins: given.plugins.or(file.plugins).unwrap_or_else(|| data_dir.join("plugins")),
            pipeline_templates: given.pipeline_templates.or(file.pipeline_templates),
            egress_allow: given.egress_allow.or(file.egress_allow).unwrap_or_default(),
            postgres_bin: given.postgres_bin.or(file.postgres_bin),
            plugin_keys: trusted(given.plugin_keys.or(file.plugin_keys).unwrap_or_default())?,
            require_plugin_signature: given
                .require_plugin_signature
                .or(file.require_plugin_signature)
                .unwrap_or_default(),
            registries: given.registries.or(file.registries).unwrap_or_default(),
            insecure_registries: given.insecure_registries.or(file.insecure_registries).unwrap_or_default(),
            sealing: match environment("ARMILLA_SECRETS_KEY").or(file.secrets_key) {
                Some(digits) => SealingKey::parse(&digits)?,
                None => SealingKey::new(keys.secrets_key()?),
            },
            limits: limits(
                given.step_output_max.or(file.step_output_max),
                given.retention.or(file.retention),
                given.lease.map(Duration::from_secs),
                file.prices,
            )?,
            auth: auth(file.jwt, &keys)?,
            database_url,
            data_dir,
            keys,
        })
    }
}

fn limits(
    output_bytes: Option<u64>,
    retention: Option<Duration>,
    lease: Option<Duration>,
    prices: HashMap<String, PriceFile>,
) -> Result<RunLimits, SettingsError> {
    let defaults = RunLimits::default();
    let output_bytes = output_bytes.unwrap_or(defaults.output_bytes);
    if !(1..=STEP_OUTPUT_BYTES_MAX).contains(&output_bytes) {
        return Err(SettingsError::StepOutput(output_bytes));
    }
    let retention = match retention {
        None => defaults.retention,
        Some(for_ever) if for_ever.is_zero() => None,
        given => given,
    };
    let lease = lease.unwrap_or(defaults.lease);
    if lease < LEASE_MIN {
        return Err(SettingsError::Lease(lease.as_secs()));
    }
    let price = |(model, PriceFile { input_per_million, output_per_million }): (String, PriceFile)| {
        let good = [input_per_million, output_per_million].iter().all(|price| (0.0..=TOKEN_PRICE_MAX).contains(price));
        let price = TokenPrice { input_per_million, output_per_million };
        if good { Ok((model, price)) } else { Err(SettingsError::Price(model)) }
    };
    let prices = prices.into_iter().map(price).collect::<Result<_, _>>()?;
    Ok(RunLimits { output_bytes, retention, lease, prices })
}

fn trusted(entries: Vec<String>) -> Result<TrustedKeys, SettingsError> {
    TrustedKeys::parse(&entries).map_err(|bad| {
        let bad: Vec<String> = bad.iter().map(ToString::to_string).collect();
        SettingsError::PluginKeys(bad.join("; "))
    })
}

/// What tokens are made and judged by, for the command that makes one.
///
/// # Errors
/// As [`Settings::read`].
pub(crate) fn read_auth(place: &Place) -> Result<AuthConfig, SettingsError> {
    let file = read_file(place.config.as_deref())?;
    let keys = Keys::open(&data_dir(place, &file)?)?;
    auth(file.jwt, &keys)
}

fn auth(file: JwtFile, keys: &Keys) -> Result<AuthConfig, SettingsError> {
    let configured = environment("ARMILLA_JWT_SECRET").or(file.secret);
    let previous = environment("ARMILLA_JWT_PREVIOUS_SECRET").or(file.previous_secret);
    let name = |variable: &str, file: Option<String>| {
        environment(variable).or(file).unwrap_or_else(|| ISSUER_DEFAULT.to_owned())
    };
    Ok(AuthConfig {
        current_secret: match configured {
            Some(secret) => Secret::new(secret)?,
            None => Secret::new(keys.token_secret()?)?,
        },
        previous_secret: previous.map(Secret::new).transpose()?,
        issuer: name("ARMILLA_JWT_ISSUER", file.issuer),
        audience: name("ARMILLA_JWT_AUDIENCE", file.audience),
        leeway: TOKEN_LEEWAY,
    })
}

fn read_file(path: Option<&Path>) -> Result<File, SettingsError> {
    let Some(path) = path else { return Ok(File::default()) };
    let wrong = |why: String| SettingsError::File { file: path.to_owned(), why };
    let length = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
    if length > CONFIG_BYTES_MAX {
        return Err(wrong(format!("it has more than {CONFIG_BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    // The message without the line it quotes: that line may hold a secret.
    toml::from_str(&text).map_err(|error| wrong(describe(&error, &text)))
}

fn describe(error: &toml::de::Error, text: &str) -> String {
    let newlines_before = |start: usize| text.bytes().take(start).filter(|byte| *byte == b'\n').count();
    match error.span().map(|span| newlines_before(span.start) + 1) {
        Some(line) => format!("line {line}: {}", error.message()),
        None => error.message().to_owned(),
    }
}

fn data_dir(place: &Place, file: &File) -> Result<PathBuf, SettingsError> {
    if let Some(named) = place.data_dir.clone().or_else(|| file.data_dir.clone()) {
        return Ok(named);
    }
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/armilla"));
    }
    let shared = environment("XDG_DATA_HOME").map(PathBuf::from);
    let shared = shared.or_else(|| environment("HOME").map(|home| Path::new(&home).join(".local/share")));
    shared.map(|folder| folder.join("armilla")).ok_or(SettingsError::NoHome)
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(folder: &Path, config: Option<&str>) -> Given {
        let config = config.map(|text| {
            let file = folder.join("armilla.toml");
            std::fs::write(&file, text).unwrap();
            file
        });
        Given { place: Place { data_dir: Some(folder.join("data")), config }, ..Given::default() }
    }

    #[test]
    fn the_command_line_comes_before_the_file_and_the_file_before_the_defaults() {
        let folder = tempfile::tempdir().unwrap();
        let file = "listen = \"127.0.0.1:4000\"\negress-allow = [\"10.0.0.0/8\"]\npipeline-templates = \"ours.yml\"\n";
        let mut given = given(folder.path(), Some(file));
        let settings = Settings::read(given.clone()).unwrap();
        assert_eq!(settings.listen, "127.0.0.1:4000".parse().unwrap());
        assert_eq!(settings.egress_allow, ["10.0.0.0/8".parse().unwrap()]);
        assert_eq!(settings.plugins, folder.path().join("data/plugins"));
        assert_eq!(settings.pipeline_templates, Some("ours.yml".into()));

        given.listen = Some("127.0.0.1:5000".parse().unwrap());
        given.pipeline_templates = Some("others.yml".into());
        let settings = Settings::read(given).unwrap();
        assert_eq!(settings.listen, "127.0.0.1:5000".parse().unwrap());
        assert_eq!(settings.pipeline_templates, Some("others.yml".into()));
    }

    #[test]
    fn a_misspelt_setting_is_refused_with_its_line_and_without_its_value() {
        let folder = tempfile::tempdir().unwrap();
        let file = "listen = \"127.0.0.1:4000\"\n[jwt]\nsekret = \"hush hush hush hush hush hush hush hush\"\n";
        let error = Settings::read(given(folder.path(), Some(file))).unwrap_err().to_string();
        assert!(error.contains("line 3") && error.contains("sekret"), "{error}");
        assert!(!error.contains("hush"), "{error}");
    }

    #[test]
    fn a_short_secret_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = Settings::read(given(folder.path(), Some("[jwt]\nsecret = \"short\"\n"))).unwrap_err().to_string();
        assert!(error.contains("32 bytes") && !error.contains("short\""), "{error}");
    }

    #[test]
    fn a_missing_file_is_an_error_and_not_a_default() {
        let folder = tempfile::tempdir().unwrap();
        let mut given = given(folder.path(), None);
        given.place.config = Some(folder.path().join("absent.toml"));
        assert!(Settings::read(given).unwrap_err().to_string().contains("absent.toml"));
    }
}
