//! Finds the configuration file among the places where it may be.

use std::path::{Path, PathBuf};

use super::interpolate::Env;

/// The variable that names the file when no flag does.
const VARIABLE: &str = "POINTSMAN_CONFIG";

/// The names of the file; in each folder the first one is preferred.
const NAMES: [&str; 2] = ["proxy_config.yaml", "proxy_config.yml"];

/// There is no configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// The file that was asked for is not there.
    #[error("no configuration file {}, which {by} names", file.display())]
    Missing {
        /// The file.
        file: PathBuf,
        /// The flag or variable that asked for it.
        by: &'static str,
    },
    /// No file was asked for, and none is in the usual places.
    #[error("{}", nowhere(looked))]
    Nowhere {
        /// Every place that was searched, in order.
        looked: Vec<PathBuf>,
    },
}

fn nowhere(looked: &[PathBuf]) -> String {
    let places: String = looked.iter().map(|place| format!("  {}\n", place.display())).collect();
    format!(
        "no configuration file; looked for --config, ${VARIABLE} and\n{places}  help: a minimal configuration:\n    \
         providers:\n      - name: openai\n        base_url: https://api.openai.com/v1\n        \
         api_key: ${{OPENAI_API_KEY}}\n    `pointsman demo` needs no configuration and no account"
    )
}

/// The configuration file: `explicit` (from a flag), else `$POINTSMAN_CONFIG`, else the first that exists of
/// `proxy_config.yaml` and `.yml` in `cwd` and in `.optillm` below `home`.
///
/// If a file is asked for and does not exist, that is an error and the search ends there. An empty `cwd`
/// gives names relative to the current folder.
///
/// # Errors
/// When there is no such file.
pub fn find(explicit: Option<&Path>, env: &Env<'_>, cwd: &Path, home: Option<&Path>) -> Result<PathBuf, FindError> {
    let variable = env(VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    let asked = explicit.map(|path| (path.to_owned(), "--config")).or(variable.map(|path| (path, "$POINTSMAN_CONFIG")));
    if let Some((file, by)) = asked {
        return if file.exists() { Ok(file) } else { Err(FindError::Missing { file, by }) };
    }
    let folders = [Some(cwd.to_owned()), home.map(|home| home.join(".optillm"))];
    let looked: Vec<PathBuf> =
        folders.into_iter().flatten().flat_map(|folder| NAMES.map(|name| folder.join(name))).collect();
    match looked.iter().find(|place| place.is_file()) {
        Some(file) => Ok(file.clone()),
        None => Err(FindError::Nowhere { looked }),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn touch(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }

    #[test]
    fn takes_the_first_that_is_there() {
        let root = tempfile::tempdir().unwrap();
        let (cwd, home) = (root.path().join("cwd"), root.path().join("home"));
        let found = |variable: Option<&Path>, explicit: Option<&Path>| {
            let env = |name: &str| (name == VARIABLE).then(|| variable?.to_str().map(str::to_owned)).flatten();
            find(explicit, &env, &cwd, Some(&home))
        };
        let places = [
            home.join(".optillm/proxy_config.yml"),
            home.join(".optillm/proxy_config.yaml"),
            cwd.join("proxy_config.yml"),
            cwd.join("proxy_config.yaml"),
        ];
        for place in &places {
            touch(place);
            assert_eq!(found(None, None).as_ref(), Ok(place));
        }
        let (other, flag) = (root.path().join("other"), root.path().join("flag"));
        touch(&other);
        touch(&flag);
        assert_eq!(found(Some(&other), None), Ok(other.clone()));
        assert_eq!(found(Some(&other), Some(&flag)), Ok(flag));
        assert_eq!(found(Some(Path::new("")), None).as_ref(), Ok(&places[3]), "set but empty counts as unset");
    }

    #[test]
    fn a_file_that_was_asked_for_is_not_replaced_by_another() {
        let root = tempfile::tempdir().unwrap();
        touch(&root.path().join("proxy_config.yaml"));
        let error = find(Some(Path::new("no.yaml")), &|_| None, root.path(), None).unwrap_err();
        assert_eq!(error.to_string(), "no configuration file no.yaml, which --config names");
        let error = find(None, &|_| Some("no.yaml".into()), root.path(), None).unwrap_err();
        assert_eq!(error.to_string(), "no configuration file no.yaml, which $POINTSMAN_CONFIG names");
    }

    #[test]
    fn names_every_place_and_a_way_on() {
        let error = find(None, &|_| None, Path::new("/nowhere"), Some(Path::new("/home/x"))).unwrap_err().to_string();
        for part in [
            "--config",
            "$POINTSMAN_CONFIG",
            "/nowhere/proxy_config.yaml",
            "/nowhere/proxy_config.yml",
            "/home/x/.optillm/proxy_config.yaml",
            "/home/x/.optillm/proxy_config.yml",
            "api_key: ${OPENAI_API_KEY}",
            "pointsman demo",
        ] {
            assert!(error.contains(part), "{part} is missing in {error}");
        }
    }
}
