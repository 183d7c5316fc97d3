package sagemaker

import (
	"fmt"
	"regexp"
)

// ImageClassification is the image of the built-in algorithm.
const ImageClassification = "musher/image-classification"

// builtin are the names by which the built-in image classification is asked
// for: its own, and the cloud's registry addresses of the algorithm that it
// stands in for.
var builtin = regexp.MustCompile(`^(?:` +
	`musher/image-classification(?::[\w.-]+)?` +
	`|\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?/image-classification(?:[:@][\w.:-]+)?` +
	`|image-classification(?::[\w.-]+)?` +
	`)$`)

// ResolveImage returns the image that runs for the one asked for.
func ResolveImage(image string) (string, error) {
	if builtin.MatchString(image) {
		return ImageClassification, nil
	}
	return "", fmt.Errorf("image %q is not known here: the built-in algorithm is %q", image, ImageClassification)
}
