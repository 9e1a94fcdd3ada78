//! The past of a figure for charts: ten minutes by the second and a day by the minute, in memory of fixed size.

/// Points by the second.
pub const FINE: usize = 600;
/// Points by the minute.
pub const COARSE: usize = 1440;

/// The span of a chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// Ten minutes.
    Minutes,
    /// A day.
    Day,
}

impl Span {
    /// By its name in queries; anything else is ten minutes.
    pub fn read(name: &str) -> Self {
        if name == Self::Day.name() { Self::Day } else { Self::Minutes }
    }

    /// Its name in queries.
    pub fn name(self) -> &'static str {
        match self {
            Self::Minutes => "10m",
            Self::Day => "24h",
        }
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Minutes => "10 minutes",
            Self::Day => "24 hours",
        }
    }
}

/// The point that a minute makes of its seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fold {
    /// The mean of those that are known.
    Mean,
    /// The largest.
    Most,
}

/// The latest points, the oldest first; those that are not known are not a number.
#[derive(Clone, Debug)]
struct Ring {
    points: Box<[f32]>,
    /// The place of the oldest, which is the next to go.
    next: usize,
}

impl Ring {
    fn new(size: usize) -> Self {
        Self { points: vec![f32::NAN; size].into_boxed_slice(), next: 0 }
    }

    fn push(&mut self, value: f32) {
        if let Some(point) = self.points.get_mut(self.next) {
            *point = value;
        }
        self.next = (self.next + 1) % self.points.len();
    }

    fn points(&self) -> impl Iterator<Item = f32> {
        let (newer, older) = self.points.split_at(self.next);
        older.iter().chain(newer).copied()
    }
}

/// One figure over time.
#[derive(Clone, Debug)]
pub struct Series {
    fine: Ring,
    coarse: Ring,
    fold: Fold,
    /// The minute under way: the sum or the largest of its points that are known, and their number.
    minute: (f32, u16),
}

impl Series {
    /// The bytes that one takes.
    #[cfg(test)]
    pub const BYTES: usize = size_of::<Self>() + (FINE + COARSE) * size_of::<f32>();

    /// Without a past.
    pub fn new(fold: Fold) -> Self {
        Self { fine: Ring::new(FINE), coarse: Ring::new(COARSE), fold, minute: (0.0, 0) }
    }

    /// Adds the point of a second; `ends` says that it is the last one of a minute.
    pub fn push(&mut self, value: Option<f64>, ends: bool) {
        let value = value.map_or(f32::NAN, |value| value as f32);
        self.fine.push(value);
        let (so_far, known) = &mut self.minute;
        if !value.is_nan() {
            *so_far = match self.fold {
                Fold::Mean => *so_far + value,
                Fold::Most => so_far.max(value),
            };
            *known += 1;
        }
        if ends {
            let point = match (self.fold, *known) {
                (_, 0) => f32::NAN,
                (Fold::Mean, known) => *so_far / f32::from(known),
                (Fold::Most, _) => *so_far,
            };
            self.coarse.push(point);
            self.minute = (0.0, 0);
        }
    }

    /// Its points, the oldest first.
    pub fn points(&self, span: Span) -> impl Iterator<Item = f32> {
        match span {
            Span::Minutes => self.fine.points(),
            Span::Day => self.coarse.points(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_points_go_first() {
        let mut series = Series::new(Fold::Mean);
        for second in 0..FINE + 5 {
            series.push(Some(second as f64), false);
        }
        let points: Vec<f32> = series.points(Span::Minutes).collect();
        assert_eq!((points.len(), points[0], points[FINE - 1]), (FINE, 5.0, (FINE + 4) as f32));
        assert!(series.points(Span::Day).all(f32::is_nan));
    }

    #[test]
    fn a_minute_is_the_mean_or_the_largest_of_what_is_known() {
        for (fold, expected) in [(Fold::Mean, 20.0), (Fold::Most, 30.0)] {
            let mut series = Series::new(fold);
            for (second, value) in [Some(10.0), None, Some(30.0)].into_iter().enumerate() {
                series.push(value, second == 2);
            }
            series.push(None, true);
            let points: Vec<f32> = series.points(Span::Day).skip(COARSE - 2).collect();
            assert_eq!(points[0], expected);
            assert!(points[1].is_nan());
        }
    }
}
