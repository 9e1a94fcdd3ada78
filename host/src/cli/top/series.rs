//! Prometheus's text format, as far as `/metrics` uses it, and what has come between two readings of it.

use std::collections::HashMap;

/// One series.
#[derive(Clone, Debug, PartialEq)]
struct Sample {
    labels: Vec<(String, String)>,
    value: f64,
}

/// The series of one reading, by the names of their metrics.
#[derive(Clone, Debug, Default)]
pub(super) struct Series(HashMap<String, Vec<Sample>>);

impl Sample {
    fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    fn fits(&self, wanted: &[(&str, &str)]) -> bool {
        wanted.iter().all(|(name, value)| self.label(name) == *value)
    }
}

impl Series {
    /// Reads a text; lines that are not understood are left out.
    pub fn read(text: &str) -> Self {
        let mut series = HashMap::<String, Vec<Sample>>::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some((name, sample)) = sample(line) {
                match series.get_mut(name) {
                    Some(samples) => samples.push(sample),
                    None => drop(series.insert(name.to_owned(), vec![sample])),
                }
            }
        }
        Self(series)
    }

    fn of(&self, metric: &str) -> &[Sample] {
        self.0.get(metric).map_or(&[], Vec::as_slice)
    }

    /// The sum of a metric's series that have these labels; `None` if there are none.
    pub fn sum(&self, metric: &str, wanted: &[(&str, &str)]) -> Option<f64> {
        let fitting = self.of(metric).iter().filter(|sample| sample.fits(wanted)).map(|sample| sample.value);
        fitting.reduce(|one, other| one + other)
    }

    /// The sums of a metric's series that have these labels, by the value of another label.
    pub fn by(&self, metric: &str, label: &str, wanted: &[(&str, &str)]) -> HashMap<String, f64> {
        let mut sums = HashMap::new();
        for sample in self.of(metric).iter().filter(|sample| sample.fits(wanted)) {
            *sums.entry(sample.label(label).to_owned()).or_default() += sample.value;
        }
        sums
    }

    /// The values of these labels, with the value, for each series of a metric.
    pub fn each<'s, const N: usize>(
        &'s self,
        metric: &str,
        labels: [&'s str; N],
    ) -> impl Iterator<Item = ([&'s str; N], f64)> + use<'s, N> {
        self.of(metric).iter().map(move |sample| (labels.map(|label| sample.label(label)), sample.value))
    }

    /// The buckets of a histogram, added up by the value of a label.
    pub fn buckets(&self, histogram: &str, label: &str) -> HashMap<String, Buckets> {
        let mut all = HashMap::<String, Buckets>::new();
        for sample in self.of(&format!("{histogram}_bucket")) {
            let Ok(bound) = sample.label("le").replace("+Inf", "inf").parse::<f64>() else { continue };
            let buckets = &mut all.entry(sample.label(label).to_owned()).or_default().0;
            match buckets.iter_mut().find(|(known, _)| *known == bound) {
                Some((_, count)) => *count += sample.value,
                None => buckets.push((bound, sample.value)),
            }
        }
        all
    }
}

/// The name and the series of a line.
fn sample(line: &str) -> Option<(&str, Sample)> {
    let (name, rest) = line.split_at(line.find(['{', ' '])?);
    let (labels, value) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    let value = value.split_whitespace().next()?.parse().ok()?;
    Some((name, Sample { labels, value }))
}

/// The labels up to the brace that ends them, and the rest of the line.
fn labels(mut rest: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches(',');
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let (mut value, mut chars) = (String::new(), quoted.char_indices());
        loop {
            match chars.next()? {
                (at, '"') => {
                    rest = quoted.get(at + 1..)?;
                    break;
                }
                (_, '\\') => value.push(match chars.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, other) => value.push(other),
            }
        }
        labels.push((name.to_owned(), value));
    }
}

/// The buckets of a histogram: upper bounds with the counts up to there, the lowest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Buckets(Vec<(f64, f64)>);

impl Buckets {
    /// The observations since an earlier reading.
    pub fn since(&self, before: Option<&Self>) -> Self {
        let Some(before) = before else { return self.clone() };
        let earlier = |bound: f64| before.0.iter().find(|(known, _)| *known == bound).map_or(0.0, |(_, count)| *count);
        Self(self.0.iter().map(|(bound, count)| (*bound, (count - earlier(*bound)).max(0.0))).collect())
    }

    /// The number of observations.
    pub fn total(&self) -> f64 {
        self.0.last().map_or(0.0, |(_, count)| *count)
    }

    /// About the value below which this share of all is, as Prometheus's `histogram_quantile` has it.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let total = self.total();
        if total <= 0.0 {
            return None;
        }
        let (wanted, mut below, mut from) = (share * total, 0.0, 0.0);
        for (bound, count) in &self.0 {
            if *count >= wanted && *count > below {
                let within = (wanted - below) / (count - below);
                return Some(if bound.is_finite() { from + (bound - from) * within } else { from });
            }
            (below, from) = (*count, *bound);
        }
        Some(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP a x\n# TYPE a counter\na{p=\"x\",o=\"ok\"} 3\na{p=\"x\",o=\"bad\"} 1\na{p=\"y \\\"q\\\" {z}\",o=\"ok\"} 5\nb 1.5\n\
        h_bucket{p=\"x\",le=\"0.1\"} 5\nh_bucket{p=\"x\",le=\"1\"} 10\nh_bucket{p=\"x\",le=\"+Inf\"} 10\nnonsense\nc{broken 1\n";

    #[test]
    fn series_are_found_by_their_labels() {
        let series = Series::read(TEXT);
        assert_eq!(
            (series.sum("a", &[]), series.sum("a", &[("p", "x")]), series.sum("b", &[])),
            (Some(9.0), Some(4.0), Some(1.5))
        );
        assert_eq!((series.sum("nothing", &[]), series.sum("c", &[])), (None, None));
        assert_eq!(series.by("a", "p", &[("o", "ok")])["y \"q\" {z}"], 5.0);
        let each: Vec<_> = series.each("a", ["o", "p"]).collect();
        assert_eq!(each[1], (["bad", "x"], 1.0));
    }

    #[test]
    fn percentiles_are_those_of_what_has_come_since() {
        let buckets = Series::read(TEXT).buckets("h", "p").remove("x").expect("there");
        assert_eq!((buckets.total(), buckets.quantile(0.5)), (10.0, Some(0.1)));
        assert!((buckets.quantile(0.75).expect("some") - 0.55).abs() < 1e-9);
        assert_eq!(buckets.since(Some(&buckets)).quantile(0.5), None);
        assert_eq!(buckets.since(None), buckets);
        assert_eq!(Buckets(vec![(0.1, 0.0), (f64::INFINITY, 2.0)]).quantile(0.5), Some(0.1), "no more is known of it");
    }
}
