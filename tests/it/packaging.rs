//! The recipes in packaging/: what can be checked of them without building an image or a CUDA binary.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::lab::Said;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join("packaging").join(name)).unwrap()
}

/// Words after a `COPY` that takes from the build context, without where they go.
fn copied_by_docker(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("COPY ")).filter(|line| !line.starts_with("--from"));
    let sources = lines.flat_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words[..words.len() - 1].iter().map(ToString::to_string).collect::<Vec<_>>()
    });
    sources.collect()
}

fn copied_by_apptainer(text: &str) -> BTreeSet<String> {
    let section = text.split("\n%files\n").nth(1).unwrap().split("\n\n").next().unwrap();
    section.lines().map(|line| line.split_whitespace().next().unwrap().to_string()).collect()
}

#[test]
fn recipes_copy_what_is_there_and_all_that_the_build_reads() {
    let (docker, apptainer) = (copied_by_docker(&read("Dockerfile")), copied_by_apptainer(&read("pipeline.def")));
    assert_eq!(docker, apptainer, "both recipes build the same");
    for path in &docker {
        assert!(root().join(path).exists(), "{path}");
    }
    // What the manifest of the workspace names must be there, or cargo refuses it.
    let manifest: toml::Table = toml::from_str(&std::fs::read_to_string(root().join("Cargo.toml")).unwrap()).unwrap();
    let members = manifest["workspace"]["members"].as_array().unwrap().iter().map(|member| member.as_str().unwrap());
    let targets = ["bin", "test", "example"].into_iter().flat_map(|kind| manifest[kind].as_array().unwrap());
    let paths = targets.map(|target| target["path"].as_str().unwrap()).chain(members);
    for path in paths.chain(["benches/kernels.rs", "Cargo.lock", "setup.sh"]) {
        let first = path.split('/').next().unwrap();
        assert!(docker.contains(first), "the recipes copy no {first}, for {path}");
    }
}

#[test]
fn recipes_name_the_compiler_and_the_libraries_that_the_program_needs() {
    let manifest: toml::Table = toml::from_str(&std::fs::read_to_string(root().join("Cargo.toml")).unwrap()).unwrap();
    let rust = manifest["workspace"]["package"]["rust-version"].as_str().unwrap();
    let installed = |text: &str| -> BTreeSet<String> {
        let line = text.lines().find(|line| line.contains("apt-get install")).unwrap();
        line.split_whitespace().filter(|word| word.starts_with("lib")).map(str::to_string).collect()
    };
    let (docker, apptainer) = (read("Dockerfile"), read("pipeline.def"));
    for text in [&docker, &apptainer] {
        assert!(text.contains(&format!("rust:{rust}-slim-bookworm")), "the compiler is {rust}");
    }
    assert_eq!(installed(&docker), installed(&apptainer));
    // Of the libraries that the programs are linked with here, those of the recipes' distribution must come from its packages.
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    if !release.contains("VERSION_CODENAME=bookworm") {
        eprintln!("skipped: packaging::recipes_name_… , the packages (this is not Debian 12)");
        return;
    }
    let mut packages = BTreeSet::new();
    for program in [env!("CARGO_BIN_EXE_pipeline"), env!("CARGO_BIN_EXE_pipeline-media")] {
        let linked = Command::new("objdump").args(["-p", program]).output().unwrap();
        let linked = String::from_utf8_lossy(&linked.stdout).into_owned();
        for library in linked.lines().filter_map(|line| line.trim().strip_prefix("NEEDED")).map(str::trim) {
            let owner = Command::new("dpkg").args(["-S", &format!("*/{library}")]).output().unwrap();
            let owner = String::from_utf8_lossy(&owner.stdout).into_owned();
            packages.extend(owner.lines().filter_map(|line| line.split(':').next()).map(str::to_string));
        }
    }
    packages.retain(|name| name.starts_with("libav") || name.starts_with("libsw") || name.starts_with("libhdf5"));
    packages.retain(|name| !name.ends_with("-dev"));
    assert_eq!(packages, installed(&docker));
}

/// The stand-in of CUDA's libraries, with a library of our own: arguments of every kind arrive, and what is missing says so.
#[test]
#[cfg(target_arch = "x86_64")]
fn a_library_is_opened_when_it_is_first_called() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "real.c",
        "long eleven(long a, long b, long c, long d, long e, long f, long g, long h, long i, long j, long k) {\n\
         return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h + 9 * i + 10 * j + 11 * k; }\n\
         double mixed(double a, long b, double c, float d) { return a * b + c * d; }\n",
    );
    write(
        "main.c",
        "#include <stdio.h>\nlong eleven(long, long, long, long, long, long, long, long, long, long, long);\n\
         double mixed(double, long, double, float);\nint absent(int);\n\
         int main(void) { for (int n = 0; n < 2; n++) { printf(\"%d\", (int)eleven(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11));\n\
         if (n < LAST) printf(\" %g\", mixed(1.5, 2, 3.25, 4)); printf(\" %d\\n\", absent(3)); } }\n",
    );
    write("names", "F(0, absent)\nF(1, eleven)\nF(2, mixed)\n");
    let sh = |script: &str| {
        let source = root().join("packaging/cuda-lazy.c");
        let output =
            Command::new("sh").args(["-ec", script]).current_dir(folder.path()).env("SOURCE", source).output().unwrap();
        Said::new(&output)
    };
    sh("cc -shared -fPIC -o libreal.so.1 real.c").ended(0);
    let define = r#"-DLIBRARY='"libreal.so.1"' -DMISSING=100 -DSILENT=0 -DNAMES="\"$PWD/names\"""#;
    sh(&format!("cc -O2 -fPIC -Wall -Werror {define} -c $SOURCE -o lazy.o")).ended(0);
    sh("cc -DLAST=2 main.c lazy.o -o with; cc -DLAST=0 main.c lazy.o -o without").ended(0);
    let there = sh("LD_LIBRARY_PATH=. ./with").ended(0);
    assert_eq!(there.stdout, "506 16 100\n506 16 100\n");
    assert!(there.stderr.contains("undefined symbol: absent"), "{}", there.stderr);
    let absent = sh("./without").ended(0);
    assert_eq!(absent.stdout, "100 100\n100 100\n");
    assert!(absent.stderr.contains("libreal.so.1: cannot open shared object file"), "{}", absent.stderr);
}
