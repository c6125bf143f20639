//! The real media set: no file of it crashes or hangs the program.

use crate::lab::Lab;

/// Every file of the set is processed or listed with its cause.
#[test]
fn every_real_media_file_is_processed_or_listed_with_its_cause() {
    if std::env::var_os("PIPELINE_TEST_MEDIA").is_none() {
        eprintln!(
            "skipped: every_real_media_file_is_processed_or_listed_with_its_cause: PIPELINE_TEST_MEDIA is not set"
        );
        return;
    }
    let lab = Lab::new();
    for (kind, items) in [("real-media", 57), ("real-sounds", 74)] {
        let manifest = format!("{}/data-manifests/{kind}.toml", env!("CARGO_MANIFEST_DIR"));
        let work = format!("work-{kind}");
        let said = lab.pipeline(&["run", "all", "--json", "--data", &manifest, "--work", &work]);
        assert!(matches!(said.code, 0 | 4), "{kind}: exit {}\n{}", said.code, said.stderr);
        assert_eq!(said.stages()["log-mel"].0, items, "{kind}");
        let failures: serde_json::Value =
            serde_json::from_str(&lab.pipeline(&["failures", "--json", "--work", &work]).ended(0).stdout).unwrap();
        let failures = failures.as_array().unwrap();
        eprintln!("{kind}: {:?}", said.stages());
        for failure in failures {
            eprintln!("  {} {}: {}: {}", failure["stage"], failure["id"], failure["cause"], failure["message"]);
            assert_ne!(failure["cause"], "internal", "{failure}");
        }
        let failed: u64 = said.stages().values().map(|(_, _, failed)| failed).sum();
        assert_eq!(failures.len() as u64, failed, "every failure is listed");
    }
}
