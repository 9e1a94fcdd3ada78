//! Amounts of money, in whole nano-dollars: an embedding of ten tokens costs 200 of them, and would be rounded fivefold in
//! millionths of a dollar.

use std::fmt;

/// The decimal places of a dollar.
const PLACES: i32 = 9;

/// The most digits of a number that are read; the rest of a longer one does not matter.
const DIGITS: u32 = 30;

/// An amount in nano-dollars. Sums that would not fit stay at the largest, which is 18 billion dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nano(pub u64);

impl Nano {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The amount of a decimal number of dollars, such as `0.00014` or `1.4e-05`, rounded up; `None` for a text that is
    /// no such number, or a negative one.
    pub fn of_dollars(text: &str) -> Option<Self> {
        scaled(text, PLACES).map(Self)
    }

    /// The sum.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The amount in dollars, as precise as a float is.
    pub fn dollars(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

/// Dollars as a plain decimal number, such as `0.00014`.
impl fmt::Display for Nano {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ONE: u64 = 10_u64.pow(PLACES.unsigned_abs());
        let (whole, part) = (self.0 / ONE, self.0 % ONE);
        if part == 0 {
            return write!(f, "{whole}");
        }
        let places = format!("{part:09}");
        write!(f, "{whole}.{}", places.trim_end_matches('0'))
    }
}

/// A decimal number times ten to the power of `places`, as an integer, rounded up; at most the largest that there is.
fn scaled(text: &str, places: i32) -> Option<u64> {
    let text = text.trim();
    let text = text.strip_prefix('+').unwrap_or(text);
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, exponent.parse::<i32>().ok()?.clamp(-1000, 1000)),
        None => (text, 0),
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let digits = || whole.bytes().chain(part.bytes());
    if digits().next().is_none() || !digits().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let (mut value, mut read, mut skipped, mut is_rest) = (0_u128, 0, 0, false);
    for digit in digits() {
        if read < DIGITS {
            value = value * 10 + u128::from(digit - b'0');
            read += u32::from(value > 0);
        } else {
            skipped += 1;
            is_rest |= digit > b'0';
        }
    }
    let power = exponent + places - i32::try_from(part.len()).unwrap_or(i32::MAX).min(1 << 20) + skipped;
    let value = if power >= 0 {
        (0..power.min(60)).fold(value, |value, _| value.saturating_mul(10))
    } else {
        let divisor = 10_u128.checked_pow(power.unsigned_abs()).unwrap_or(u128::MAX);
        value / divisor + u128::from(value % divisor > 0 || is_rest)
    };
    Some(u64::try_from(value).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimal_dollars_are_whole_nano_dollars_rounded_up() {
        for (text, nano) in [
            ("0", Some(0)),
            ("0.00014", Some(140_000)),
            ("1.4e-05", Some(14_000)),
            ("2E-7", Some(200)),
            ("12", Some(12_000_000_000)),
            ("1e3", Some(1_000_000_000_000)),
            (".5", Some(500_000_000)),
            ("0.0000000001", Some(1)),
            ("1e-400", Some(1)),
            ("1e400", Some(u64::MAX)),
            ("0.1000000000000000000000000000000000000001", Some(100_000_001)),
            ("-1", None),
            ("", None),
            (".", None),
            ("1e", None),
            ("null", None),
            ("1,5", None),
        ] {
            assert_eq!(Nano::of_dollars(text), nano.map(Nano), "{text}");
        }
    }

    #[test]
    fn an_amount_is_written_as_a_plain_decimal_number() {
        for (nano, text) in
            [(0, "0"), (200, "0.0000002"), (140_000, "0.00014"), (12_500_000_000, "12.5"), (3_000_000_000, "3")]
        {
            assert_eq!(Nano(nano).to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_again(nano: u64) {
            prop_assert_eq!(Nano::of_dollars(&Nano(nano).to_string()), Some(Nano(nano)));
        }

        #[test]
        fn any_text_can_be_read(text in "[-+0-9eE.]{0,60}") {
            Nano::of_dollars(&text);
        }
    }
}
