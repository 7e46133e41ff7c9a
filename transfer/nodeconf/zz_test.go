package nodeconf_test
import ("fmt";"strings";"testing";"time";"runtime";"satchel/transfer/nodeconf")
func TestZZ(t *testing.T){
 mem := func(what string, f func()){ var a,b runtime.MemStats; runtime.GC(); runtime.ReadMemStats(&a); s:=time.Now(); f(); d:=time.Since(s); runtime.ReadMemStats(&b); fmt.Println(what, d, (b.TotalAlloc-a.TotalAlloc)>>20,"MiB total") }
 for _, n := range []int{5000,20000,60000} {
 var bld strings.Builder
 bld.WriteString("kind: ImageDigestMirrorSet\nmetadata: {name: x}\nspec:\n  imageDigestMirrors:\n")
 var ours nodeconf.Cluster
 for i:=range n { fmt.Fprintf(&bld,"  - {source: registry.example/o%d, mirrors: [m.example/o%d]}\n",i,i); ours.IDMS=append(ours.IDMS,nodeconf.Entry{Source:fmt.Sprintf("registry.example/o%d/x",i),Mirrors:[]string{"n.example/x"}}) }
 var c nodeconf.Cluster
 mem(fmt.Sprint("parse ",n," ",bld.Len()), func(){ var err error; c,err=nodeconf.ParseExport([]byte(bld.String())); if err!=nil{t.Fatal(err)} })
 mem("conflicts", func(){ fmt.Println(len(nodeconf.Conflicts(c,ours))) })
 mem("registries", func(){ nodeconf.Registries(c.With(ours)) })
 ours.Allowed = []string{"z.example"}
 mem("conflicts allowed", func(){ fmt.Println(len(nodeconf.Conflicts(c,ours))) })
 }
 mem("hostile", func(){ _,err:=nodeconf.ParseExport([]byte("a:\n"+strings.Repeat("- a\n",2_000_000))); fmt.Println(err) })
 mem("hostile2", func(){ _,err:=nodeconf.ParseExport([]byte(strings.Repeat("[",8_000_000))); fmt.Println(err) })
 mem("hostile3", func(){ _,err:=nodeconf.ParseExport([]byte(strings.Repeat("--- a\n",1_300_000))); fmt.Println(err) })
}
