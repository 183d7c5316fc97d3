package awsapi

type operation struct{ *OperationModel }
type modelIndex struct{}
type bodyCheck struct{}

func (*bodyCheck) declared() map[string]string { return nil }
func (m *ServiceModel) operation(name string) *operation {
	for i := range m.Operations {
		if m.Operations[i].Name == name {
			return &operation{&m.Operations[i]}
		}
	}
	return nil
}
