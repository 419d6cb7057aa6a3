package sandbox

import (
	"cmp"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"oktasync/oktaclient/sandbox/internal/edges"
	"oktasync/oktaclient/sandbox/internal/people"
)

// edges returns the edges. Don't call it with a lock.
func (o *Org) edges() *edges.Graph {
	if g := o.access.graph.Load(); g != nil {
		return g
	}
	o.access.mu.Lock()
	defer o.access.mu.Unlock()
	if g := o.access.graph.Load(); g != nil {
		return g
	}
	p := population{Org: o, graph: edges.NewGraph(o.cfg.MemberLag), groups: map[string]bool{}}
	for id := range o.GroupsJSON() {
		p.groups[id] = true
	}
	o.users.mu.RLock()
	defer o.users.mu.RUnlock()
	p.addUsers()
	p.addMembers()
	p.addAssignments()
	o.access.graph.Store(p.graph)
	return p.graph
}

// population generates the edges at the start.
type population struct {
	*Org
	graph       *edges.Graph
	users       []string            // ids of all users, ascending
	departments map[string][]string // their users
	groups      map[string]bool     // ids of all groups
}

// addUsers collects the users, also while the org is wiped.
func (p *population) addUsers() {
	p.departments = map[string][]string{}
	s, scratch := p.Org.users, []byte(nil)
	p.access.numbers, p.access.json = make(map[string]int, s.originals.n), make([]atomic.Pointer[[]byte], s.originals.n)
	add := func(number int, id string) {
		obj := object{}
		if s.loadLocked(&obj, number, id, time.Time{}) {
			obj.scratch = &scratch
			department := text(obj.text(), s.department)
			p.users = append(p.users, obj.id())
			p.departments[department] = append(p.departments[department], obj.id())
			if number >= 0 {
				p.access.numbers[obj.id()] = number
			}
		}
	}
	for i := range s.originals.n {
		add(i, "")
	}
	for _, id := range slices.Sorted(maps.Keys(s.added)) {
		add(-1, id)
	}
	slices.Sort(p.users)
}

// pick returns n different users, the same for the same salt and number.
func (p *population) pick(salt, number, n int) []string {
	if n = min(n, len(p.users)); n <= 0 {
		return nil
	}
	rng := p.Org.users.originals.random(salt, number)
	at, step := rng.intN(len(p.users)), 1+rng.intN(len(p.users))
	for gcd(step, len(p.users)) > 1 {
		step++
	}
	picked := make([]string, n)
	for i := range picked {
		picked[i] = p.users[at]
		at = (at + step) % len(p.users)
	}
	return picked
}

func gcd(a, b int) int {
	for b > 0 {
		a, b = b, a%b
	}
	return a
}

// addMembers adds the members of all groups: everyone, every hundredth user as an
// administrator, the people of each department, and others.
func (p *population) addMembers() {
	p.load(everyone, p.users) // cfg.Memberships doesn't count these
	total := p.load(administrators, p.everyHundredth())
	for i, d := range people.Departments {
		total += p.load(firstDepartment+i, p.departments[d.Name])
	}
	total += p.load(firstDepartment+len(people.Departments), p.pick(12, 0, len(p.users)/7))
	extra := p.cfg.Groups - startGroups
	for k := range max(extra, 0) {
		size, left := 1+k%5, max(p.cfg.Memberships-total, 0)
		switch {
		case p.cfg.Memberships == 0:
		case k == 0:
			size = left // as many as possible
		case k == extra-1:
			size = left
		case k%10 == 9:
			size = 0
		default: // around the average of the rest
			average := left / (extra - k)
			size = min(average/4+k%7*average/4, left)
		}
		total += p.load(startGroups+k, p.pick(12, k+1, size))
	}
}

func (p *population) everyHundredth() (users []string) {
	for i := 0; i < p.Org.users.originals.n; i += 100 {
		users = append(users, p.Org.users.originals.id(i))
	}
	return users
}

// load sets the members of group i, and returns their number.
func (p *population) load(i int, users []string) int {
	id := p.groupID(i)
	if !p.groups[id] {
		return 0
	}
	list := make([]edges.Edge, len(users))
	for k, user := range users {
		list[k] = edges.Edge{Child: user, From: 1}
	}
	p.graph.Members.Load(id, list)
	return len(list)
}

// addAssignments assigns groups and users to the apps that aren't implicitly assigned.
// If all users fit, the second app is assigned to Everyone.
func (p *population) addAssignments() {
	var apps []*assignment
	for i := range cmp.Or(p.cfg.Apps, len(templates)) {
		id, rng := p.appID(i), p.Org.users.originals.random(13, i)
		if app, ok := p.App(id); ok && string(get(app, "settings.implicitAssignment")) != "true" {
			active := text(app, "status") == "ACTIVE"
			p.graph.SetActive(id, active, 1)
			apps = append(apps, &assignment{population: p, number: i, app: id, active: active, rng: &rng, rows: map[string]bool{}})
		}
	}
	groups := slices.DeleteFunc(p.graph.Members.Parents(), func(id string) bool { return id == p.groupID(everyone) })
	left := p.cfg.Assignments
	for i, a := range apps {
		quota := left / (len(apps) - i)
		switch {
		case p.cfg.Assignments == 0:
			quota = len(p.users) / (2 + a.rng.intN(20))
		case i == 1 && left/4 >= len(p.users):
			quota = len(p.users)
			a.addGroups([]string{p.groupID(everyone)}, quota)
		case i < len(apps)-1:
			quota = min(quota/2+a.rng.intN(quota+1), left)
		}
		if len(a.list) == 0 {
			a.addGroups(groups, quota/2)
		}
		a.addUsers(quota)
		left -= len(a.list)
	}
}

// assignment generates the edges of one app.
type assignment struct {
	*population
	number int
	app    string
	active bool
	rng    *random
	rows   map[string]bool // users with a row
	list   []edges.Edge
}

// created returns a time in the 900 days before the epoch, in nanoseconds.
func (a *assignment) created() int64 {
	return (a.Org.users.originals.epoch - int64(a.rng.intN(900*24*3600))*1000 - int64(a.rng.intN(1000))) * int64(time.Millisecond)
}

// addGroups assigns up to three groups with at most the number of members.
func (a *assignment) addGroups(groups []string, most int) {
	var list []edges.Edge
	for range min(3, len(groups)) {
		group := groups[a.rng.intN(len(groups))]
		if a.graph.Members.Count(group) > most || slices.ContainsFunc(list, func(e edges.Edge) bool { return e.Child == group }) {
			continue
		}
		created := a.created()
		list = append(list, edges.Edge{Child: group, Order: edges.Order(a.rng.intN(3), created), From: created})
		if !a.active {
			continue
		}
		for _, e := range a.graph.Members.Versions(group) {
			a.add(e.Child, false, created)
		}
	}
	a.graph.AppGroups.Load(a.app, list)
}

// addUsers assigns users until the app has the number of users.
func (a *assignment) addUsers(total int) {
	for _, user := range a.pick(14, a.number, min(total, len(a.users))) {
		if len(a.list) < total {
			a.add(user, true, a.created())
		}
	}
	for _, user := range a.users { // if some of those had the app already
		if len(a.list) >= total || a.cfg.Assignments == 0 {
			break
		}
		a.add(user, true, a.created())
	}
	a.graph.AppUsers.Load(a.app, a.list)
}

// add adds a row, unless the user has one.
func (a *assignment) add(user string, direct bool, created int64) {
	if a.rows[user] {
		return
	}
	a.rows[user] = true
	e := edges.Edge{Child: user, Order: created, From: created, Direct: direct}
	if a.rng.intN(6) == 0 {
		e.Status = uint8(a.rng.intN(len(appUserStatuses)))
	}
	a.list = append(a.list, e)
}
