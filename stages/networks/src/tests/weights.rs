//! Weights from files: what is set, what is reported, what is refused.

use std::path::Path;

use candle_core::{Device, Tensor};

use super::filler::{fill_network, uniform};
use crate::{Architecture, Config, Error, Network, read_tensors};

fn net(classes: usize) -> Network {
    Network::new(&Config::audio(Architecture::Mn { tenths: 4 }, 64, classes), 5, &Device::Cpu).unwrap()
}

fn values(net: &Network, name: &str) -> Vec<f32> {
    net.state().unwrap()[name].flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn what_was_saved_is_what_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("net.safetensors");
    let first = net(7);
    fill_network(&first);
    first.save(&file).unwrap();
    let second = net(7);
    let report = second.load(&file).unwrap();
    assert_eq!(report.matched.len(), second.variables().len());
    assert!(report.fresh.is_empty() && report.unexpected.is_empty(), "{report}");
    for v in second.variables() {
        assert_eq!(values(&first, &v.name), values(&second, &v.name), "{}", v.name);
    }
}

#[test]
fn a_last_layer_of_other_classes_starts_anew_and_the_report_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("net.safetensors");
    let pretrained = net(7);
    fill_network(&pretrained);
    pretrained.save(&file).unwrap();
    let scenes = net(3);
    let head = values(&scenes, "classifier.5.weight");
    let report = scenes.load(&file).unwrap();
    assert_eq!(report.fresh, ["classifier.5.bias", "classifier.5.weight"]);
    assert_eq!(report.misshaped[0], ("classifier.5.weight".into(), vec![3, 512], vec![7, 512]));
    assert_eq!(report.matched.len(), scenes.variables().len() - 2);
    assert_eq!(values(&scenes, "classifier.5.weight"), head);
    assert_eq!(values(&scenes, "features.0.0.weight"), values(&pretrained, "features.0.0.weight"));
    assert!(report.to_string().contains("at random: classifier.5.bias, classifier.5.weight"), "{report}");

    // Without a bias the weight is not taken either, though it fits: half a layer is none.
    let mut state = net(7).state().unwrap();
    state.remove("classifier.5.bias");
    let same = net(7);
    let report = same.set_by_name(&state, "memory").unwrap();
    assert_eq!((report.missing.len(), report.fresh.len()), (1, 2));
}

#[test]
fn a_backbone_that_is_not_whole_is_refused_and_nothing_is_set() {
    let target = net(7);
    let before = values(&target, "features.0.0.weight");
    let source = net(7);
    fill_network(&source);
    let mut state = source.state().unwrap();
    let tensor = state.remove("features.3.block.1.1.running_var").unwrap();
    let error = target.set_by_name(&state, "a.pt").unwrap_err().to_string();
    let wanted =
        "a.pt has no tensor `features.3.block.1.1.running_var` [32]: it is of another network, or not complete";
    assert_eq!(error, wanted);
    state.insert("features.3.block.1.1.running_var".into(), tensor.reshape((32, 1)).unwrap());
    assert!(matches!(target.set_by_name(&state, "a.pt"), Err(Error::TensorShape { .. })));
    assert_eq!(values(&target, "features.0.0.weight"), before);
    // The strict way takes exactly the state.
    state.insert("features.3.block.1.1.running_var".into(), tensor);
    target.set_state(&state).unwrap();
    state.insert("more".into(), Tensor::zeros(1, candle_core::DType::F32, &Device::Cpu).unwrap());
    assert!(target.set_state(&state).is_err());
    assert_eq!(target.set_by_name(&state, "a.pt").unwrap().unexpected, ["more"]);
}

#[test]
fn a_checkpoint_of_pytorch_is_unwrapped() {
    let found = read_tensors(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/checkpoint.pt")).unwrap();
    assert_eq!(found.keys().collect::<Vec<_>>(), ["double", "half", "part", "plain", "transposed"]);
    let flat = |name: &str| found[name].flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(found["plain"].dims(), [2, 3]);
    assert_eq!(flat("plain"), uniform("plain", 6));
    let t = uniform("transposed", 6);
    assert_eq!(found["transposed"].dims(), [3, 2]);
    assert_eq!(flat("transposed"), [t[0], t[3], t[1], t[4], t[2], t[5]]);
    assert_eq!(flat("double"), uniform("double", 4));
    assert_eq!(flat("part"), uniform("part", 10)[4..7]);
    for (half, exact) in flat("half").iter().zip(uniform("half", 4)) {
        assert!((half - exact).abs() < 1e-3);
    }
}

#[test]
fn files_that_are_no_weights_are_named_and_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let whole = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/checkpoint.pt")).unwrap();
    // A tensor of 2 by 3 that claims to be of 255 by 255.
    let mut large = whole.clone();
    let shape = large.windows(5).position(|w| w == b"K\x02K\x03\x86").unwrap();
    large[shape + 1] = 255;
    large[shape + 3] = 255;
    large[shape + 8] = 255;
    let cases: [(&str, &[u8], &str); 6] = [
        ("large.pt", &large, "its tensor module.plain of [255, 255] is larger than the file"),
        ("empty.pt", b"", "download it again"),
        ("cut.pt", &whole[..whole.len() / 2], "cannot be read as a zip of PyTorch"),
        ("old.pth", b"\x80\x02}q\x00.", "paddle_to_safetensors.py"),
        ("page.safetensors", b"<!DOCTYPE html><html>", "neither a safetensors file nor a zip of PyTorch"),
        ("short.safetensors", b"\x20\x00\x00\x00\x00\x00\x00\x00{}", "neither a safetensors file nor a zip"),
    ];
    for (name, bytes, said) in cases {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let error = read_tensors(&path).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(said), "{error}");
    }
    assert!(matches!(read_tensors(&folder.path().join("none.pt")), Err(Error::File { .. })));

    let broken = net(7);
    let bias = broken.variables().iter().find(|v| v.name == "classifier.5.bias").unwrap();
    bias.var.set(&Tensor::full(f32::NAN, 7, &Device::Cpu).unwrap()).unwrap();
    let path = folder.path().join("nan.safetensors");
    broken.save(&path).unwrap();
    assert!(matches!(net(7).load(&path), Err(Error::TensorNotFinite { name, .. }) if name == "classifier.5.bias"));
}

/// Names and layouts of `paddle.vision`'s ResNet, through the committed converter.
#[test]
fn weights_of_paddle_are_converted() {
    let Some(python) = std::env::var_os("PIPELINE_PYTHON") else {
        eprintln!("skipped: weights_of_paddle_are_converted needs PIPELINE_PYTHON, a Python with numpy");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = Network::new(&Config::audio(Architecture::ResNet18, 64, 5).with_image(3), 0, &Device::Cpu).unwrap();
    // Shapes as Paddle has them: every tensor of ours under its Paddle name, the last layer as fc_dcase, an unused fc beside it.
    let mut names = String::new();
    for v in target.variables() {
        names.push_str(&format!("{} {:?}\n", v.name, v.var.dims()));
    }
    std::fs::write(folder.path().join("names.txt"), names).unwrap();
    let make = r#"
import json, pickle, sys
import numpy as np
sys.path.insert(0, sys.argv[2])
from filler import fill
state = {"fc.weight": np.ones((512, 527), "f4"), "fc.bias": np.ones(527, "f4")}
for line in open(sys.argv[1] + "/names.txt"):
    name, shape = line.split(" ", 1)
    value = fill(name, tuple(json.loads(shape)))
    name = name.replace("running_mean", "_mean").replace("running_var", "_variance")
    name = "fc_dcase." + name[3:] if name.startswith("fc.") else name
    state[name] = np.ascontiguousarray(value.T) if value.ndim == 2 else value
state["StructuredToParameterName@@"] = {"fc.weight": "linear_0.w_0"}
pickle.dump(state, open(sys.argv[1] + "/net.pdparams", "wb"), protocol=2)
class Evil:
    def __reduce__(self):
        return (open, (sys.argv[1] + "/run", "w"))
pickle.dump({"fc.weight": Evil()}, open(sys.argv[1] + "/evil.pdparams", "wb"), protocol=2)
"#;
    let run = |arguments: &[&std::ffi::OsStr]| {
        std::process::Command::new(&python).args(arguments).env("PYTHONDONTWRITEBYTECODE", "1").output().unwrap()
    };
    let fixtures = here.join("fixtures");
    let made = run(&["-c".as_ref(), make.as_ref(), folder.path().as_os_str(), fixtures.as_os_str()]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));

    let script = here.join("convert/paddle_to_safetensors.py");
    let convert = |name: &str| {
        let (from, to) =
            (folder.path().join(format!("{name}.pdparams")), folder.path().join(format!("{name}.safetensors")));
        (run(&[script.as_os_str(), from.as_os_str(), to.as_os_str()]), to)
    };
    let (done, file) = convert("net");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let report = target.load(&file).unwrap();
    assert_eq!((report.matched.len(), report.unexpected.len()), (target.variables().len(), 0), "{report}");
    let wanted = Network::new(target.config(), 1, &Device::Cpu).unwrap();
    fill_network(&wanted);
    for v in wanted.variables() {
        assert_eq!(values(&target, &v.name), values(&wanted, &v.name), "{}", v.name);
    }

    let (refused, file) = convert("evil");
    assert!(!refused.status.success() && !file.exists() && !folder.path().join("run").exists());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("has no place in a file of weights"));
}
