// The raw protocol the way a careful user of gorilla/websocket would write it: one processor, one goroutine that reads each connection and, from its
// subscription on, one that writes it; prepared messages for what is published; buffers that are reused. Go sets TCP_NODELAY and listens with the
// system's backlog (net.core.somaxconn, 4096 by default). The library writes every message by itself.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"

	"github.com/gorilla/websocket"
)

const (
	// Bytes of the largest message.
	messageBytesMax = 1 << 20
	// Bytes of a connection's buffer for receiving; those for sending are shared.
	readBufferBytes  = 4096
	writeBufferBytes = 4096
	// Messages that may wait for one subscriber; a subscriber that is further behind is closed.
	outboxMessagesMax = 4096
	// Bytes up to which a connection keeps the buffer that it collects messages in.
	keptBytesMax = 32 * 1024
)

var upgrader = websocket.Upgrader{
	ReadBufferSize:    readBufferBytes,
	WriteBufferSize:   writeBufferBytes,
	WriteBufferPool:   &sync.Pool{},
	EnableCompression: false,
	CheckOrigin:       func(*http.Request) bool { return true },
}

// outgoing is either prepared (published) or a message for this client alone.
type outgoing struct {
	prepared *websocket.PreparedMessage
	kind     int
	payload  []byte
}

type subscriber struct {
	conn *websocket.Conn
	lock sync.Mutex
	// What waits; a channel of that many would cost each subscriber its full size.
	waiting []outgoing
	ended   bool
	// Holds a token while there is something to do for the writing goroutine.
	signal chan struct{}
}

// push is false for a subscriber that is too slow.
func (s *subscriber) push(message outgoing) bool {
	s.lock.Lock()
	fits := len(s.waiting) < outboxMessagesMax
	if fits {
		s.waiting = append(s.waiting, message)
	}
	s.lock.Unlock()
	s.wake()
	return fits
}

func (s *subscriber) end() {
	s.lock.Lock()
	s.ended = true
	s.lock.Unlock()
	s.wake()
}

func (s *subscriber) wake() {
	select {
	case s.signal <- struct{}{}:
	default:
	}
}

func (s *subscriber) write() {
	var taken []outgoing
	for range s.signal {
		s.lock.Lock()
		taken, s.waiting = s.waiting, taken[:0]
		ended := s.ended
		s.lock.Unlock()
		for at := range taken {
			if err := taken[at].write(s.conn); err != nil {
				s.conn.Close()
				return
			}
			taken[at] = outgoing{}
		}
		if ended {
			return
		}
	}
}

func (o *outgoing) write(conn *websocket.Conn) error {
	if o.prepared != nil {
		return conn.WritePreparedMessage(o.prepared)
	}
	return conn.WriteMessage(o.kind, o.payload)
}

// topic is the one topic. Publishing holds the lock, so that all subscribers see one order; it never waits for a subscriber.
type topic struct {
	lock        sync.Mutex
	subscribers map[*subscriber]struct{}
}

func (t *topic) add(s *subscriber) {
	t.lock.Lock()
	t.subscribers[s] = struct{}{}
	t.lock.Unlock()
}

func (t *topic) remove(s *subscriber) {
	t.lock.Lock()
	delete(t.subscribers, s)
	t.lock.Unlock()
}

func (t *topic) publish(payload []byte) error {
	prepared, err := websocket.NewPreparedMessage(websocket.BinaryMessage, payload)
	if err != nil {
		return err
	}
	message := outgoing{prepared: prepared}
	t.lock.Lock()
	defer t.lock.Unlock()
	for s := range t.subscribers {
		if !s.push(message) {
			// Both its goroutines fail at once.
			s.conn.Close()
			delete(t.subscribers, s)
		}
	}
	return nil
}

func (t *topic) serve(response http.ResponseWriter, request *http.Request) {
	conn, err := upgrader.Upgrade(response, request, nil)
	if err != nil {
		return
	}
	// A goroutine of its own: what the HTTP server needed for the request can go.
	go t.read(conn)
}

func (t *topic) read(conn *websocket.Conn) {
	defer conn.Close()
	conn.SetReadLimit(messageBytesMax)
	var subscribed *subscriber
	var buffer bytes.Buffer
	for {
		kind, reader, err := conn.NextReader()
		if err != nil {
			break
		}
		buffer.Reset()
		if _, err := buffer.ReadFrom(reader); err != nil {
			break
		}
		message := buffer.Bytes()
		switch {
		case kind == websocket.BinaryMessage && len(message) > 0 && message[0] == 'S':
			if subscribed == nil {
				subscribed = &subscriber{conn: conn, signal: make(chan struct{}, 1)}
				t.add(subscribed)
				go subscribed.write()
			}
		case kind == websocket.BinaryMessage && len(message) > 0 && message[0] == 'P':
			// A prepared message keeps its payload.
			err = t.publish(append([]byte(nil), message[1:]...))
		case subscribed == nil:
			// Nobody else writes to this client yet.
			err = conn.WriteMessage(kind, message)
		default:
			if !subscribed.push(outgoing{kind: kind, payload: append([]byte(nil), message...)}) {
				err = net.ErrClosed
			}
		}
		if err != nil {
			break
		}
		if buffer.Cap() > keptBytesMax {
			buffer = bytes.Buffer{}
		}
	}
	if subscribed != nil {
		t.remove(subscribed)
		subscribed.end()
	}
}

func main() {
	listen := flag.String("listen", "", "where clients connect")
	flag.Parse()
	runtime.GOMAXPROCS(1)
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("gorilla peer listens on %s, %s\n", listener.Addr(), runtime.Version())
	all := &topic{subscribers: make(map[*subscriber]struct{})}
	fmt.Fprintln(os.Stderr, http.Serve(listener, http.HandlerFunc(all.serve)))
	os.Exit(1)
}
