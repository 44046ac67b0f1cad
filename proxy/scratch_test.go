package proxy

import (
	"reflect"
	"testing"
	"unsafe"

	"github.com/pgdrover/pgdrover/internal/task"
	"github.com/pgdrover/pgdrover/shardmap"
)

// TestNothingInHand fills every field of a transaction, one at a time: none is taken for nothing.
func TestNothingInHand(t *testing.T) {
	var tx transaction
	eachField(t, &tx, func(name string) {
		if tx.isZero() {
			t.Errorf("transaction.%s is not looked at", name)
		}
		tx = transaction{}
	})
	eachField(t, &tx.condition, func(name string) {
		if tx.isZero() {
			t.Errorf("transaction.%s is not looked at", name)
		}
		tx = transaction{}
	})
	if !tx.isZero() || !new(scratch).empty() {
		t.Error("nothing is taken for something")
	}
}

// eachField sets the fields of a struct, and calls f after each.
func eachField[T any](t *testing.T, of *T, f func(name string)) {
	t.Helper()
	v := reflect.ValueOf(of).Elem()
	for i := range v.NumField() {
		field := v.Field(i)
		field = reflect.NewAt(field.Type(), unsafe.Pointer(field.UnsafeAddr())).Elem()
		switch field.Kind() {
		case reflect.Bool:
			field.SetBool(true)
		case reflect.String:
			field.SetString("set")
		case reflect.Slice:
			field.Set(reflect.MakeSlice(field.Type(), 1, 1))
		case reflect.Pointer:
			field.Set(reflect.New(field.Type().Elem()))
		case reflect.Struct:
			if field.Type() == reflect.TypeFor[shardmap.Key]() {
				key, err := shardmap.Bigint.ParseText([]byte("1"))
				if err != nil {
					t.Fatal(err)
				}
				field.Set(reflect.ValueOf(key))
				break
			}
			if set := field.Field(0); set.Kind() == reflect.Bool { // it says whether there is anything
				reflect.NewAt(set.Type(), unsafe.Pointer(set.UnsafeAddr())).Elem().SetBool(true)
			}
		default:
			t.Fatalf("%s is of a kind that this test does not know", v.Type().Field(i).Name)
		}
		f(v.Type().Field(i).Name)
	}
}

// TestLargeScratchIsNotKept gives back a scratch whose memory has grown for one long message: it is not kept for others.
func TestLargeScratchIsNotKept(t *testing.T) {
	w := &scratch{}
	s := &session{scratch: w, srv: &Server{scratches: task.NewSpares[scratch](nil)}, t: task.New()}
	w.again.bind = make([]byte, 0, scratchRoom+1)
	s.putScratch()
	if s.takeScratch(); s.scratch == w {
		t.Error("it is used again")
	}
}
