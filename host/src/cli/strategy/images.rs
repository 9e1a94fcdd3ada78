//! `pointsman strategy push` and `pull`: components to registries and from them, approaches as well.
//!
//! Exit codes: 0 done, 1 the registry or the component is at fault, 2 the arguments are wrong.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::super::{say, say_error, wrong};
use crate::config::{Image, Registry, Secret, StrategyLimits, environment, split_image};
use crate::images::{self, ImageError};
use crate::wasm::artifact;

/// The environment variable with the password, so that it is in no list of processes.
const PASSWORD: &str = "POINTSMAN_REGISTRY_PASSWORD";

/// The way into a registry.
#[derive(Debug, Args)]
struct Login {
    /// The name to sign in with. The password, or without a name a token, is taken from the environment variable
    /// POINTSMAN_REGISTRY_PASSWORD.
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    /// Ask the registry without TLS, as one on this machine is anyway.
    #[arg(long)]
    http: bool,
}

impl Login {
    fn registry(&self, host: &str) -> Registry {
        let usual = Registry::usual(host);
        let password = environment(PASSWORD).filter(|password| !password.is_empty()).map(Secret::new);
        Registry { username: self.username.clone(), password, http: self.http || usual.http, proxy: None }
    }
}

#[derive(Debug, Args)]
pub struct Push {
    /// The component: a .wasm file.
    file: PathBuf,
    /// Its name in the registry, with a tag: ghcr.io/acme/pick:1.2
    #[arg(value_name = "HOST/PATH:TAG")]
    name: String,
    #[command(flatten)]
    login: Login,
}

#[derive(Debug, Args)]
pub struct Pull {
    /// The component's name in the registry: ghcr.io/acme/pick:1.2, or with @sha256:...
    #[arg(value_name = "HOST/PATH[:TAG|@DIGEST]")]
    name: String,
    /// The file to write; without it only the digest is printed.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    login: Login,
}

pub fn run_push(push: &Push) -> ExitCode {
    let Some((host, path, Some(tag))) = split_image(&push.name) else {
        return wrong(&format!("{} is no name with a tag, such as ghcr.io/acme/pick:1.2", push.name));
    };
    let read = artifact::read(&push.file, StrategyLimits::default().max_bytes);
    let component = match read.and_then(|bytes| artifact::check_format(&bytes).map(|()| bytes)) {
        Ok(component) => component,
        Err(error) => return failed(&format!("{}: {}", push.file.display(), chain(&error))),
    };
    let registry = push.login.registry(&host);
    let pushed = images::waiting(&host, images::push((&host, &path, &tag), &registry, component));
    match pushed {
        Ok(digest) => {
            say(&format!("image: {host}/{path}@{digest}\n"));
            ExitCode::SUCCESS
        }
        Err(error) => failed(&format!("{}: {error}", push.name)),
    }
}

pub fn run_pull(pull: &Pull) -> ExitCode {
    let (name, digest) = match pull.name.split_once('@') {
        Some((name, digest)) => (name, Some(digest.to_owned())),
        None => (pull.name.as_str(), None),
    };
    let Some((host, path, tag)) = split_image(name) else {
        return wrong(&format!("{} is no name of a component in a registry, such as ghcr.io/acme/pick:1.2", pull.name));
    };
    let registry = pull.login.registry(&host);
    let tag = tag.unwrap_or_else(|| "latest".to_owned());
    let most = StrategyLimits::default().max_bytes;
    let fetched = images::waiting(&host, async {
        let digest = match digest {
            Some(digest) => digest,
            None => images::resolve(&host, &path, &tag, &registry).await?,
        };
        let image =
            Image { host: host.clone(), repository: path.clone(), digest, registry: registry.clone(), key: None };
        let pulled = images::pull(&image, most).await?;
        Ok::<_, ImageError>((image, pulled.bytes))
    });
    let (image, bytes) = match fetched {
        Ok(fetched) => fetched,
        Err(error) => return failed(&format!("{}: {error}", pull.name)),
    };
    if let Err(error) = artifact::check_format(&bytes) {
        return failed(&format!("{image}: {}", chain(&error)));
    }
    if let Some(file) = &pull.output
        && let Err(error) = std::fs::write(file, &bytes)
    {
        return failed(&format!("{} cannot be written: {error}", file.display()));
    }
    say(&format!("image: {image}\n"));
    ExitCode::SUCCESS
}

fn failed(message: &str) -> ExitCode {
    say_error(&format!("pointsman: {message}"));
    ExitCode::FAILURE
}

fn chain(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{error}{cause}")
}
