//! Least squares for one and for two variables.

/// The line `y = base + slope * x` through points `(x, y)` (least squares); level where all `x` are equal.
pub(super) fn line(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    let count = points.len() as f64;
    if points.is_empty() {
        return None;
    }
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / count, y + point.1 / count));
    let (mut xx, mut xy) = (0.0, 0.0);
    for point in points {
        xx += (point.0 - x) * (point.0 - x);
        xy += (point.0 - x) * (point.1 - y);
    }
    let slope = if xx > 1e-9 { xy / xx } else { 0.0 };
    Some((y - slope * x, slope))
}

/// The plane `z = a * x + b * y` through points `(x, y, z)`; `None` where they do not determine it.
pub(super) fn plane(points: &[(f64, f64, f64)]) -> Option<(f64, f64)> {
    let (mut xx, mut xy, mut yy, mut xz, mut yz) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (x, y, z) in points {
        xx += x * x;
        xy += x * y;
        yy += y * y;
        xz += x * z;
        yz += y * z;
    }
    let determinant = xx * yy - xy * xy;
    // Points on a line through the origin do not tell one price from the other.
    if points.len() < 2 || determinant <= xx * yy * 1e-9 {
        return None;
    }
    Some(((xz * yy - yz * xy) / determinant, (yz * xx - xz * xy) / determinant))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_planes_go_through_their_points() {
        let (base, slope) = line(&[(0.0, 1.0), (10.0, 3.0), (20.0, 5.0)]).expect("points");
        assert!((base - 1.0).abs() < 1e-9 && (slope - 0.2).abs() < 1e-9);
        assert_eq!(line(&[(5.0, 2.0), (5.0, 4.0)]), Some((3.0, 0.0)));
        assert_eq!(line(&[]), None);
        let (a, b) = plane(&[(1.0, 0.0, 2.5), (1.0, 1.0, 12.5), (3.0, 2.0, 27.5)]).expect("determined");
        assert!((a - 2.5).abs() < 1e-9 && (b - 10.0).abs() < 1e-9);
        assert_eq!(plane(&[(1.0, 2.0, 3.0), (2.0, 4.0, 6.0)]), None);
    }
}
