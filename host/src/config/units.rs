//! Numbers with a unit, as people write them: spans of time and numbers of bytes.

use std::time::Duration;

/// Splits a text into its number and its unit.
fn parts(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim()))
}

/// Reads a span of time: a number with `ms`, `s`, `m`, `h`, `d` or `w` behind it, or of seconds without.
pub fn span(text: &str) -> Option<Duration> {
    let (number, unit) = parts(text)?;
    let seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        "w" => 604_800.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number * seconds).ok()
}

/// Reads a number of bytes: with `KiB`, `MiB`, `GiB` or `TiB` (1024), `kB`, `MB`, `GB` or `TB` (1000) behind it, or nothing.
pub fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = parts(text)?;
    let factor: f64 = match unit {
        "" | "B" => 1.0,
        "KiB" => 1024.0,
        "MiB" => 1_048_576.0,
        "GiB" => 1_073_741_824.0,
        "TiB" => 1_099_511_627_776.0,
        "kB" | "KB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "TB" => 1e12,
        _ => return None,
    };
    let bytes = (number * factor).round();
    (bytes < 9e15).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_bytes_are_read_as_people_write_them() {
        assert_eq!(span("24h"), Some(Duration::from_secs(86_400)));
        assert_eq!(span("7d"), Some(Duration::from_secs(604_800)));
        assert_eq!(span("1.5m"), Some(Duration::from_secs(90)));
        assert_eq!(span("500 ms"), Some(Duration::from_millis(500)));
        assert_eq!(span("2"), Some(Duration::from_secs(2)));
        assert_eq!((span("yesterday"), span("-1h"), span(""), span("1.2.3h")), (None, None, None, None));
        assert_eq!((bytes("1GiB"), bytes("1.5 MB"), bytes("4096")), (Some(1 << 30), Some(1_500_000), Some(4096)));
        assert_eq!((bytes("1 G"), bytes("-1"), bytes("99999999TiB")), (None, None, None));
    }
}
