//! Puts a program under load that counts where it goes (`packaging/profiled`): every measure that costs the proxy processor time, and of
//! its forms what many use.

use std::path::Path;

use anyhow::{Context as _, ensure};

use crate::machine::{self, Cores};
use crate::plan::Plan;
use crate::stage::Stage;
use crate::targets::{self, Form, Target};
use crate::{check_stop, note, run, startup};

/// Where a program that counts writes to.
const COUNTS: &str = "LLVM_PROFILE_FILE";
/// The forms beside the plain one, which is under all of the load.
const FORMS: [Form; 5] = [Form::Limits, Form::Routes, Form::AccessLog, Form::ClientTls, Form::ProviderTls];

/// Puts `pointsman` under load; what it has counted is written as each of its processes ends.
pub fn main(pointsman: &Path) -> anyhow::Result<()> {
    ensure!(pointsman.is_file(), "{} is missing", pointsman.display());
    ensure!(machine::find_program("taskset").is_some(), "taskset is missing: apt-get install util-linux");
    machine::raise_descriptors();
    let stage = Stage::set(pointsman, Cores::find()?)?;
    let scene = &stage.scene;
    // What compiling its strategies costs is not counted, as a program that is given out carries them compiled.
    startup::start(scene, &scene.cache, &[(COUNTS, "/dev/null")])?;
    let measures = Plan::training();
    for form in [Form::Plain].into_iter().chain(FORMS) {
        let target = Target::Pointsman(form);
        let at = targets::start(target, scene)?;
        for measure in measures.iter().take(if form == Form::Plain { measures.len() } else { 1 }) {
            check_stop()?;
            let sample = run::load(&run::job(measure, target, &at, scene), scene)
                .with_context(|| format!("{}, measure {}; its log:\n{}", target.name(), measure.name, at.log_tail()))?;
            note(&format!("{}, {}: {} answers, {} events", target.name(), measure.name, sample.replies, sample.events));
        }
    }
    Ok(())
}
