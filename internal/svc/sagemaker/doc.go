// Package sagemaker holds what the families of SageMaker share: the generated
// wire types, ARNs, lists, tags, and the small interfaces to the rest
// of Musher. The work is done in the sub-packages:
//
//	training   CreateTrainingJob and its life from Starting to Completed
//	tuning     CreateHyperParameterTuningJob: which trial next, which was best
//	hosting    models, endpoint configurations, endpoints and their instances
//	transform  CreateTransformJob: objects through a model, and back into a bucket
//	channel    S3 prefixes down to folders, artifacts up
//
// Each family registers its operations on one awsapi.Service made from Model.
//
// Answered here: AddTags, ListTags, DeleteTags.
package sagemaker
