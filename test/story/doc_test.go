// Package story runs programs in the shape of the reference project, as their
// users run them: notebooks and scripts of the SageMaker Python SDK, unchanged,
// with real PyTorch on real photos.
//
// What lies in reference/ knows nothing of Musher. A test sets the environment
// that `musher env --proxy` prints, executes a notebook cell by cell in a
// kernel of its own, and looks at what the cells printed.
package story
