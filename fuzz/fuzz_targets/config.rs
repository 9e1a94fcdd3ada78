//! Configurations: any text is either a valid configuration or a list of problems within the file.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use pointsman::config;
use pointsman::strategy;

/// The value of every variable: in the wrong place it may be a key, so no problem may show it.
const HELD: &str = "zq9x7-held-by-a-variable";

fuzz_target!(|text: &str| {
    let env = |name: &str| match name.as_bytes().first() {
        Some(b'A'..=b'M') => Some(HELD.to_owned()),
        Some(b'N') => Some("12".to_owned()),
        Some(b'O') => Some(String::new()),
        _ => None,
    };
    // The folder does not exist, so nothing but an absolute path finds a file.
    let file = Path::new("/nonexistent/fuzz.yaml");
    match config::parse(text, file, &env, strategy::builtins()) {
        Ok(config) => {
            assert!(!config.providers.is_empty());
            for (index, provider) in config.providers.iter().enumerate() {
                assert!(provider.weight.is_finite() && provider.weight > 0.0);
                assert!(!provider.api_key.reveal().is_empty());
                assert!(config.providers[..index].iter().all(|other| other.name != provider.name));
            }
            assert!(!format!("{config:?}").is_empty());
        }
        Err(error) => {
            let lines = 1 + text.bytes().filter(|byte| matches!(byte, b'\n' | b'\r')).count();
            assert!(!error.problems.is_empty());
            for problem in &error.problems {
                assert!(problem.line <= lines, "line {} of {lines}: {problem}", problem.line);
                // A provider's name is shown everywhere, so also which name there is twice; and where a file was looked for
                // helps more than how the place was written.
                let public = ["name", "path", "strategy", "cert", "key"].iter().any(|end| problem.key.ends_with(end));
                let public = public && !problem.key.ends_with("api_key");
                assert!(public || !problem.to_string().contains(HELD), "shows what a variable holds: {problem}");
            }
        }
    }
});
