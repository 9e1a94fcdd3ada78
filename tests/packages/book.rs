//! The documentation as a site, by `docs/book.py`.

use harness::workspace;

use crate::{must, with_tools};

#[test]
fn the_documentation_becomes_a_site_whose_links_lead_somewhere() {
    let site = tempfile::tempdir().expect("a temporary folder");
    must(with_tools("python3").arg(workspace().join("docs/book.py")).arg(site.path()));
    let check = workspace().join("tests/packages/check.py");
    let said = must(with_tools("python3").arg(check).arg("site").arg(site.path()));
    let pages: usize = said.split_whitespace().next().and_then(|count| count.parse().ok()).expect("a number of pages");
    assert!(pages > 25, "{said}");
}
