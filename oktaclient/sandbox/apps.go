package sandbox

import (
	"fmt"
	"slices"
)

// Register adds an app, or replaces the one with the same ID.
func (o *Org) Register(app ClientApp) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.apps[app.ID] = app
}

// AddKey gives an app one more key. Its KID must be another than that of each
// key there is.
func (o *Org) AddKey(client string, key PublicKey) error {
	return o.changeKeys(client, func(keys []PublicKey) ([]PublicKey, error) {
		if slices.ContainsFunc(keys, func(k PublicKey) bool { return k.KID == key.KID }) {
			return nil, fmt.Errorf("kid %q is there already", key.KID)
		}
		return append(slices.Clone(keys), key), nil
	})
}

// RemoveKey takes a key from an app, by its KID.
func (o *Org) RemoveKey(client, kid string) error {
	return o.changeKeys(client, func(keys []PublicKey) ([]PublicKey, error) {
		left := slices.DeleteFunc(slices.Clone(keys), func(k PublicKey) bool { return k.KID == kid })
		if len(left) == len(keys) {
			return nil, fmt.Errorf("no key with kid %q", kid)
		}
		return left, nil
	})
}

func (o *Org) changeKeys(client string, change func([]PublicKey) ([]PublicKey, error)) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	app, ok := o.apps[client]
	if !ok {
		return fmt.Errorf("change keys of app %s: no such app", client)
	}
	keys, err := change(app.Keys)
	if err != nil {
		return fmt.Errorf("change keys of app %s: %w", client, err)
	}
	app.Keys = keys
	o.apps[client] = app
	return nil
}

func (o *Org) app(id string) (ClientApp, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	app, ok := o.apps[id]
	return app, ok
}
