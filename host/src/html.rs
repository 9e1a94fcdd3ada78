//! Pages: escaping, and charts.

pub mod chart;

/// Escapes a text for a page, because a name may contain anything and must not become markup.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
