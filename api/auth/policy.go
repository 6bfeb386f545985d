package auth

// Action is a kind of thing that can be asked for in a room or of the node.
// The API gives one to each of its routes.
type Action uint8

// The actions. The zero value is allowed to nobody, so that a route that was
// given none is closed.
const (
	None     Action = iota
	Watch           // receive the mix; read the room, its people, layout, events
	Publish         // the WHIP door
	Join            // the door of participants
	OwnMedia        // change or end one's own session
	Moderate        // change or close the room, others' sessions, recordings
	Create          // create a room, or replace its settings
	ListAll         // lists and events over all rooms
	Operate         // nodes, routes, tokens
)

// policy says which roles may do what.
var policy = map[Action]map[Role]bool{
	Watch:    {Viewer: true, Participant: true, Moderator: true, Admin: true},
	Publish:  {Publisher: true, Participant: true, Moderator: true, Admin: true},
	Join:     {Participant: true, Moderator: true, Admin: true},
	OwnMedia: {Viewer: true, Publisher: true, Participant: true, Moderator: true, Admin: true},
	Moderate: {Moderator: true, Admin: true},
	Create:   {Admin: true},
	ListAll:  {Admin: true},
	Operate:  {Admin: true},
}

// Allows reports whether the grant allows an action in a room; room is empty
// for what belongs to no room. Whose tenant the room is, and whose session, the
// caller has to see to.
func (g Grant) Allows(a Action, room string) bool {
	if !policy[a][g.Role] {
		return false
	}
	return room == "" || g.Room == AllRooms || g.Room == room
}

// Covers reports whether the grant includes all that other gives, so that its
// bearer may hand other on.
func (g Grant) Covers(other Grant) bool {
	if g.Role != Admin && g.Role != other.Role {
		return false
	}
	if g.Tenant != "" && g.Tenant != other.Tenant {
		return false
	}
	return g.Room == AllRooms || g.Room == other.Room
}
