package e2e
import ("testing";"time")
func TestDbg(t *testing.T){
 s:=start(t)
 p:=openChromium(t,s.url("/types.js"))
 for _,e:=range []string{"document.contentType+location.href+isSecureContext","import('/tutti.js').then(m=>Object.keys(m).join())","new AudioContext({sampleRate:48000}).resume().then(()=>'ok')"}{
  b:=time.Now(); out,err:=p.eval(e); t.Log(e,string(out),err,time.Since(b))
 }
}
