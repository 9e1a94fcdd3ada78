//! The record: one line per scenario, to be read in a diff.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;

/// Percent by which a count may differ from the record, up or down: several times what it differs between runs, and less
/// than anyone would want to lose.
const TOLERANCE: f64 = 5.0;

const HEAD: &str = "\
# Instructions that the proxy executes for one of each: what `make guard` compares with. `make guard-record` writes this
# file anew, after a change that is meant to cost what it costs.
#
# decision: one call of `weighted` over ten candidates      event: one of a stream, alone
# request: chat of 1 KB, no key asked for                   known: the same by a client that is known by its key
# limited: the same with the key under four limits (requests, tokens, money, requests at once), and with prices
";

/// Instructions per repetition, by scenario.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<String, u64>);

impl Counts {
    pub fn set(&mut self, scenario: &str, instructions: u64) {
        self.0.insert(scenario.to_owned(), instructions);
    }

    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let shown = file.display();
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {shown}"))?;
        Self::parse(&text).with_context(|| format!("{shown} is not as `make guard-record` writes it"))
    }

    pub fn write(&self, file: &Path) -> anyhow::Result<()> {
        std::fs::write(file, self.text()).with_context(|| format!("cannot write {}", file.display()))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let read = |line: &str| {
            let (name, count) = line.split_once(" = ").with_context(|| format!("no ` = ` in `{line}`"))?;
            Ok((name.to_owned(), count.parse().with_context(|| format!("no number in `{line}`"))?))
        };
        lines.map(read).collect::<anyhow::Result<_>>().map(Self)
    }

    fn text(&self) -> String {
        let mut text = HEAD.to_owned();
        for (name, count) in &self.0 {
            let _ = writeln!(text, "{name} = {count}");
        }
        text
    }

    /// The counts that differ too much from the record, in sentences. A lower count matters too: if it were not
    /// recorded, the gain could be lost unnoticed.
    pub fn compare(&self, expected: &Self) -> Vec<String> {
        let names: std::collections::BTreeSet<&String> = self.0.keys().chain(expected.0.keys()).collect();
        let compare = |name: &String| {
            let (Some(&now), Some(&then)) = (self.0.get(name), expected.0.get(name)) else {
                return Some(format!("{name} is not both counted and on record: `make guard-record`"));
            };
            let percent = (now as f64 - then as f64) * 100.0 / then as f64;
            let more = if percent > 0.0 { "more" } else { "fewer" };
            (percent.abs() > TOLERANCE).then(|| {
                let percent = percent.abs();
                format!("one {name} takes {now} instructions, {percent:.1} % {more} than the {then} on record")
            })
        };
        names.into_iter().filter_map(compare).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(request: u64, event: u64) -> Counts {
        let mut counts = Counts::default();
        counts.set("request", request);
        counts.set("event", event);
        counts
    }

    #[test]
    fn what_is_written_is_read_again() {
        let counts = counts(60_000, 8_000);
        assert_eq!(Counts::parse(&counts.text()).unwrap(), counts);
        assert!(Counts::parse("request: 1").is_err() && Counts::parse("request = many").is_err());
    }

    #[test]
    fn a_difference_beyond_the_tolerance_is_told_whichever_way_it_goes() {
        let record = counts(1000, 1000);
        assert_eq!(counts(1050, 951).compare(&record), Vec::<String>::new());
        assert_eq!(
            counts(1100, 940).compare(&record),
            [
                "one event takes 940 instructions, 6.0 % fewer than the 1000 on record",
                "one request takes 1100 instructions, 10.0 % more than the 1000 on record",
            ]
        );
    }

    #[test]
    fn a_scenario_that_is_not_on_record_is_told() {
        let mut more = counts(1, 1);
        more.set("reload", 1);
        assert_eq!(more.compare(&counts(1, 1)).len(), 1);
        assert_eq!(counts(1, 1).compare(&more).len(), 1);
    }
}
