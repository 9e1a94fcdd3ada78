//! The clients' own packages, from their registries: each installed once, into a folder below `target/`. Where a package
//! cannot be had, the tests fail and say so.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use harness::{alone, fetch, target, tool, workspace};

/// The versions that the tests were written against.
const OPENAI: &[&str] = &["openai[realtime]==3.54.0"];
const ANTHROPIC: &[&str] = &["anthropic==2.14.0"];
const LANGCHAIN: &[&str] = &["langchain-openai==1.6.7", "langchain-core==1.6.13"];
const NODE: &str = "openai@7.57.0";

/// A package for Python.
#[derive(Clone, Copy)]
pub enum Package {
    OpenAi,
    Anthropic,
    LangChain,
}

/// Runs a command that the tests cannot do without.
fn must(command: &mut Command) {
    let output = command.output();
    assert!(output.as_ref().is_ok_and(|output| output.status.success()), "{command:?}: {output:#?}");
}

/// A folder of its own for this package, made by `install` unless that has been done.
fn once(package: &str, install: impl FnOnce(&Path)) -> PathBuf {
    let folder = target().join("sdk").join(package.replace("==", "-").replace('@', "-node-"));
    let installed = folder.join("installed");
    alone("sdk", || {
        if !installed.exists() {
            let _ = std::fs::remove_dir_all(&folder);
            std::fs::create_dir_all(&folder).expect("target/ is writable");
            install(&folder);
            std::fs::write(&installed, "").expect("target/ is writable");
        }
    });
    folder
}

/// The interpreter of an environment that has the package; one for each, as they want different ones beside them.
pub fn python(package: Package) -> &'static Path {
    static READY: [OnceLock<PathBuf>; 3] = [const { OnceLock::new() }; 3];
    READY[package as usize].get_or_init(|| {
        let packages = match package {
            Package::OpenAi => OPENAI,
            Package::Anthropic => ANTHROPIC,
            Package::LangChain => LANGCHAIN,
        };
        fetch("venv");
        let environment = once(packages[0], |environment| {
            must(tool("python3").args(["-m", "venv", "--clear"]).arg(environment));
            let python = environment.join("bin/python");
            let python = python.to_str().expect("a path of UTF-8");
            must(tool(python).args(["-m", "pip", "install", "--quiet"]).args(packages));
        });
        environment.join("bin/python")
    })
}

/// A copy of a script of this folder where Node finds the package.
pub fn node(script: &str) -> PathBuf {
    static READY: OnceLock<PathBuf> = OnceLock::new();
    let folder = READY.get_or_init(|| {
        fetch("node");
        once(NODE, |folder| {
            let npm = ["install", "--silent", "--no-audit", "--no-fund", "--prefix"];
            must(tool("npm").args(npm).arg(folder).arg(NODE));
        })
    });
    let copy = folder.join(script);
    let text = std::fs::read(workspace().join("tests/sdk").join(script)).expect("it is there");
    // Never half of it: another test of this file may be reading.
    if std::fs::read(&copy).ok().as_ref() != Some(&text) {
        let new = folder.join(format!("{script}.{:?}", std::thread::current().id()));
        std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, &copy)).expect("target/ is writable");
    }
    copy
}
